"""Questions to a published index, answered without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.asked import Asked
from pipelines.search import Searcher, SearchHit
from tests.small_index import CLIPS, make_index, point, the_index, the_recipe, the_searcher  # noqa: F401  (fixtures)
from transforms.encoders.light import text_vectors
from transforms.errors import MissingIndex, RecipeMismatch, UsageError
from transforms.index.edge import EdgeStore
from transforms.index.location import IndexLocation
from transforms.index.publish import publish
from transforms.recipe import Recipe
from transforms.records import Schema


@pytest.mark.parametrize(
    ("text", "by", "video", "credited"),
    [
        ("a spaceship about to lift off", "frame", "/films/launch.mp4", "frame"),
        ("a spaceship about to lift off", "frames", "/films/launch.mp4", "frames"),
        ("what did he ask of his countrymen", "transcript", "/films/speech.mp3", "transcript"),
        ("Quimby", "words", "/films/zoo.ts", "words"),
        ("a spaceship about to lift off", "clip", "/films/launch.mp4", "clip"),
        ("what can you do for your country", "auto", "/films/speech.mp3", "words"),
        ("the cappuccino has been brewed", "auto", "/films/kitchen %FF.mp4", "transcript"),
        ("a rocket on the launch pad", "auto", "/films/launch.mp4", "frames"),
        ("Quimby", "auto", "/films/zoo.ts", "words"),
        ("the espresso is ready", "rrf", "/films/kitchen %FF.mp4", "frame"),
        ("the espresso is ready", "weighted", "/films/kitchen %FF.mp4", "frame"),
        ("the espresso is ready", "dbsf", "/films/kitchen %FF.mp4", "frame"),
    ],
)
def test_each_way_of_searching_finds_what_it_is_for(
    searcher: Searcher, text: str, by: str, video: str, credited: str
) -> None:
    first = searcher.search(text, by=by, limit=3)[0]
    assert (first.video, first.by) == (video, credited)


def test_a_hit_says_where_it_is_in_the_words_that_scripts_rely_on(searcher: Searcher) -> None:
    (hit,) = searcher.search("espresso", by="words", limit=1)
    told = hit.as_json()
    assert list(told) == [
        "video",
        "start_seconds",
        "end_seconds",
        "score",
        "by",
        "transcript",
        "clip_id",
        "screen_text",
        "confidence",
        "fits",
        "why",
        "media_start_seconds",
    ]
    assert told["video"] == "/films/kitchen %FF.mp4"
    assert (told["start_seconds"], told["end_seconds"]) == (8.0, 16.0)
    assert told["transcript"] == "the espresso is ready"
    assert searcher.search("a rocket", by="frame", limit=1)[0].as_json()["transcript"] is None


def test_only_live_clips_are_found_and_never_more_than_asked_for(searcher: Searcher) -> None:
    hits = searcher.search("a rocket on the launch pad, again", by="clip", limit=10)
    assert len(hits) == len(CLIPS)
    assert "/films/old.mp4" not in [hit.video for hit in hits]
    assert len(searcher.search("a rocket", limit=2)) == 2


def test_a_question_of_which_no_word_counts_is_answered_by_meaning_only(searcher: Searcher) -> None:
    assert searcher.search("the of and", by="words") == []
    assert {hit.by for hit in searcher.search("the of and")} <= {"frames", "transcript"}


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_question_is_wrong_usage(searcher: Searcher, text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        searcher.search(text)


def test_an_unknown_way_of_searching_names_those_that_there_are(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="auto, frame, transcript, ocr, clip, words, frames, rrf, weighted, dbsf"):
        searcher.search("a cat", by="audio")


def test_an_index_that_heard_nothing_cannot_be_searched_by_what_was_said(tmp_path: Path, recipe: Recipe) -> None:
    silent = recipe.changed(speech_encoder="", ocr_encoder="", text_encoder="", words_encoder="")
    location = IndexLocation.parse(str(tmp_path / "silent.reelvec"))
    store = EdgeStore(location, silent.schema())
    store.upsert([point(silent, *CLIPS[0])])
    publish(location, store, optimize=False)
    store.close()
    with Searcher(location) as searcher:
        assert searcher.search("a rocket")[0].video == "/films/launch.mp4"
        with pytest.raises(UsageError, match="transcript"):
            searcher.search("a rocket", by="transcript")


def test_vectors_of_other_weights_are_not_compared_with(tmp_path: Path, recipe: Recipe) -> None:
    schema = recipe.schema()
    other = {**schema.vector_fingerprints, "frame": "f" * 32}
    folder = make_index(
        tmp_path / "other.reelvec",
        recipe,
        Schema("offline", schema.recipe, schema.dense, schema.sparse, other, schema.settings),
    )
    with Searcher(folder) as searcher:
        with pytest.raises(RecipeMismatch, match="ffffffff"):
            searcher.search("a rocket", by="frame")
        assert searcher.search("espresso", by="words")


def test_a_missing_index_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingIndex, match="nothing"):
        Searcher(str(tmp_path / "nothing"))


def test_the_same_question_has_the_same_answer(searcher: Searcher) -> None:
    def ask() -> list[SearchHit]:
        return searcher.search("something to drink", limit=4)

    assert ask() == ask()


def test_a_first_answer_imports_neither_torch_nor_beam(index: str) -> None:
    code = (
        "import json, sys\n"
        "from pipelines.search import Searcher\n"
        "with Searcher(sys.argv[1]) as searcher:\n"
        "    first = searcher.search('is the espresso ready')[0]\n"
        "heavy = {'torch', 'apache_beam', 'transformers', 'qdrant_client'} & set(sys.modules)\n"
        "print(json.dumps([first.video, sorted(heavy)]))"
    )
    text_vectors("sentence-transformers:all-MiniLM-L6-v2", ["made ready once"])
    asked = subprocess.run([sys.executable, "-c", code, index], capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout) == ["/films/kitchen %FF.mp4", []]


def test_query_vectors_are_of_unit_length(searcher: Searcher) -> None:
    for by in ("frame", "transcript", "clip"):
        vector = searcher.query_vectors("a cat", by=by)[by]
        assert isinstance(vector, np.ndarray)
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-4)


def test_a_hit_says_how_well_it_fits_in_every_modality_that_it_has(searcher: Searcher) -> None:
    (hit,) = searcher.search("the espresso is ready", limit=1)
    assert set(hit.why) == {"frame", "frames", "transcript", "words"}
    assert hit.why["transcript"] == pytest.approx(1.0, abs=1e-3)
    assert hit.why["frame"] == pytest.approx(hit.why["frames"], abs=1e-5)  # it has one frame
    (seen,) = searcher.search("a rocket on the launch pad", by="frame", limit=1)
    assert dict(seen.why) == {"frame": pytest.approx(seen.score, abs=1e-5)}


def test_weights_given_are_those_that_count(searcher: Searcher) -> None:
    def first(**weights: float) -> str:
        (hit,) = searcher.ask(Asked("a cat and the espresso", by="weighted", limit=1, weights=weights))
        return hit.video

    assert first(frame=1.0) == "/films/zoo.ts"
    assert first(transcript=1.0) == "/films/kitchen %FF.mp4"
    assert first(transcript=1.0, frame=0.0) == "/films/kitchen %FF.mp4"


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"frame": 0.0, "transcript": 0.0}, "more than 0; given: frame=0, transcript=0"),
        ({"frame": -1.0}, "from 0 to 1e\\+06: frame=-1"),
        ({"frame": float("nan")}, "from 0 to 1e\\+06: frame=nan"),
        ({"audio": 1.0}, "no ranking is called 'audio'.*frame, transcript, ocr, words"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(searcher: Searcher, weights: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        searcher.ask(Asked("a cat", by="weighted", weights=weights))
    with pytest.raises(UsageError, match="belong to --by weighted"):
        Asked("a cat", by="rrf", weights={"frame": 1.0})


def test_a_corpus_without_sound_says_what_can_be_asked(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="by 'audio'; it can by auto, frame, transcript"):
        searcher.search("a siren", by="audio")
