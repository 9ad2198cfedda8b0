"""What chance is worth on a corpus, and what hits say of it."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipelines.asked import Asked
from pipelines.confidence import calibrate, generic_questions, trust_in
from pipelines.ingest import ingest
from pipelines.query_vectors import QueryVectors
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from tests.small_index import the_recipe  # noqa: F401  (a fixture)
from tests.test_packaging import loaded_after
from tests.timed_index import Film, fill
from transforms.index.calibration import LEAST_CONFIDENCE, Calibration, read_calibration
from transforms.index.edge import EdgeStore
from transforms.index.location import IndexLocation
from transforms.index.memory import memory_store
from transforms.index.publish import publish
from transforms.index.query import search_clips
from transforms.index.store import Equals, Where
from transforms.recipe import Recipe

LEAF, COFFEE = "a dry leaf lying on a stone", "a cup of coffee on a table"
NOWHERE = (
    "penguins on the ice",
    "xylophone lessons",
    "the stock exchange in Tokyo",
    "how vaccines work",
    "a welder joining steel pipes",
    "a giraffe and its calf",
    "the rules of cricket",
    "a submarine",
)
FILMS = [
    Film("leaf.mp4", [[LEAF, LEAF, COFFEE]]),
    Film("talk.mp3", said=["my name is Zaphod Quimby and I sell bicycle bells", "ask not what your country can do"]),
]


def index_of(folder: Path, films: list[Film], recipe: Recipe, *, calibrated: bool = True) -> str:
    location = IndexLocation.parse(str(folder))
    store = EdgeStore(location, recipe.schema())
    fill(store, films, recipe)
    if calibrated:
        calibrate(store, recipe)
    publish(location, store, optimize=False)
    store.close()
    return str(folder)


@pytest.fixture(scope="module", name="searcher")
def the_searcher(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> Iterator[Searcher]:
    with Searcher(index_of(tmp_path_factory.mktemp("sure") / "sure.reelvec", FILMS, recipe)) as opened:
        yield opened


def test_what_is_there_fits_and_what_is_nowhere_does_not(searcher: Searcher) -> None:
    for text in (LEAF, "Zaphod Quimby", "ask not what your country can do for you"):
        first = searcher.search(text)[0]
        assert first.fits and first.confidence is not None and first.confidence > 0.9
    fitting = [any(hit.fits for hit in searcher.search(text)) for text in NOWHERE]
    assert sum(fitting) <= len(NOWHERE) / 2  # two in three are expected to have none
    assert all(searcher.search(text) for text in NOWHERE)  # hits stay in the list


@pytest.mark.parametrize("by", ["auto", "frame", "frames", "transcript", "words", "clip", "rrf", "weighted", "dbsf"])
def test_every_way_of_searching_by_text_says_how_sure_it_is(searcher: Searcher, by: str) -> None:
    hits = searcher.search("Zaphod Quimby on a dry leaf", by=by)
    assert hits
    for hit in hits:
        assert hit.confidence is not None and 0.0 <= hit.confidence <= 1.0
        assert hit.fits == (hit.confidence >= LEAST_CONFIDENCE)


def test_of_two_things_in_order_both_have_to_fit(searcher: Searcher) -> None:
    both = searcher.ask(Asked(LEAF, then=COFFEE))[0]
    assert both.fits
    for text in NOWHERE:
        alone, half = searcher.search(text, by="frames")[0], searcher.ask(Asked(LEAF, then=text, by="frames"))[0]
        assert half.confidence is not None and alone.confidence is not None
        assert half.confidence <= alone.confidence
    assert searcher.ask(Asked(LEAF, near_seconds=1.0))[0].fits
    assert searcher.ask(Asked(near_seconds=1.0))[0].fits is None  # time alone has nothing to fit


def test_an_index_without_a_calibration_leaves_it_open(tmp_path: Path, recipe: Recipe) -> None:
    with Searcher(index_of(tmp_path / "old.reelvec", FILMS, recipe, calibrated=False)) as searcher:
        hit = searcher.search(LEAF)[0]
        assert (hit.confidence, hit.fits) == (None, None)
        assert json.loads(json.dumps(hit.as_json()))["fits"] is None


def test_a_corpus_of_one_clip_or_of_equal_ones_can_be_calibrated(tmp_path: Path, recipe: Recipe) -> None:
    for name, films in (("one", [Film("one.mp4", [[LEAF]])]), ("alike", [Film(f"{n}.mp4", [[LEAF]]) for n in "abc"])):
        with Searcher(index_of(tmp_path / f"{name}.reelvec", films, recipe)) as searcher:
            assert searcher.search(LEAF)[0].fits
            assert sum(bool(searcher.search(text)[0].fits) for text in NOWHERE) <= len(NOWHERE) / 2


def test_a_server_keeps_it_too_and_an_index_without_clips_has_none(recipe: Recipe) -> None:
    store = memory_store(recipe.schema())
    fill(store, FILMS, recipe)
    made = calibrate(store, recipe)
    held = read_calibration(store)
    assert made is not None and held is not None and set(held.best) == {"frame", "frames", "transcript", "ocr", "words"}
    for name, scores in made.best.items():
        np.testing.assert_allclose(held.best[name], scores, atol=2e-6)
        assert len(scores) == len(generic_questions())
    assert not held.best["ocr"].any()  # no text on screen anywhere
    store.delete(Where((Equals("kind", "clip"),)))
    assert calibrate(store, recipe) is None and read_calibration(store) is None


def test_more_ways_to_look_good_by_luck_make_a_hit_less_sure() -> None:
    luck = np.random.default_rng(0)
    best = {name: luck.random(399).astype(np.float32) for name in "abcd"}
    calibration = Calibration(best)
    (alone,) = calibration.confidences([{"a": 0.95}], ["a"])
    (among,) = calibration.confidences([{"a": 0.95}], ["a", "b", "c", "d"])
    assert alone == pytest.approx(0.95, abs=0.03)
    assert among == pytest.approx(0.95**4, abs=0.06)
    echoes = Calibration(dict.fromkeys("abcd", best["a"]))  # the same look four times is one look
    assert echoes.confidences([{"a": 0.95}], ["a", "b", "c", "d"])[0] == pytest.approx(alone)


def test_auto_trusts_what_unrelated_questions_do_not_reach(searcher: Searcher, recipe: Recipe) -> None:
    trust = trust_in(read_calibration(searcher.reader), recipe)
    assert trust(LEAF, "frame", 0.99) > 0.99 and trust(LEAF, "frame", -1.0) == 0.05
    low, high = (trust("penguins", "transcript", score) for score in (0.1, 0.6))
    assert low < high
    assert trust("penguins", "audio", 0.1) == 1.0  # nothing is known of it here
    assert trust_in(None, recipe)("penguins", "frame", 0.1) == 1.0


def test_hits_that_are_all_worse_than_chance_keep_their_order(tmp_path: Path, recipe: Recipe) -> None:
    films = [Film("a.mp4", [[COFFEE]]), Film("b.mp4", [[LEAF]])]
    store = memory_store(recipe.schema())
    fill(store, films, recipe)
    vectors = QueryVectors(recipe, store.schema, shown="").of(LEAF, ("frames",))
    hopeless = trust_in(Calibration({"frames": np.full(349, 2.0, np.float32)}), recipe)
    hits = search_clips(store, vectors, by="auto", limit=2, trust=partial(hopeless, LEAF))
    assert [hit.payload["uri"][-5:] for hit in hits] == ["b.mp4", "a.mp4"] and hits[0].score > hits[1].score > 0


def test_confidence_rises_with_the_score_and_ends_below_one() -> None:
    calibration = Calibration({"a": np.linspace(0, 1, 99, dtype=np.float32)})
    sure = calibration.confidences([{"a": score} for score in (-1.0, 0.2, 0.5, 0.9, 2.0)] + [{}], ["a"])
    assert sure[:5] == sorted(sure[:5]) and sure[4] == pytest.approx(0.99)
    assert sure[0] == pytest.approx(0.0, abs=1e-9) and sure[5] == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="nothing of this was calibrated"):
        calibration.confidences([{"b": 1.0}], ["b"])
    with pytest.raises(ValueError, match="a score of each question"):
        Calibration({"a": np.zeros(3, np.float32), "b": np.zeros(4, np.float32)})


def test_a_run_calibrates_what_it_changed_and_a_run_with_nothing_to_do_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = Path(__file__).parents[1] / "examples" / "videos"
    chosen = sorted(films.glob("*.mp4"))[:1]
    settings = IngestSettings(sources=tuple(map(str, chosen)), index=str(tmp_path / "films.reelvec"))
    ingest(settings)
    with Searcher(settings.index) as searcher:
        assert read_calibration(searcher.reader) is not None
        assert searcher.search("a cat")[0].fits is not None
    monkeypatch.setattr("pipelines.confidence.calibrate", lambda *_: pytest.fail("there was nothing to do"))
    assert ingest(settings).videos_unchanged == 1


@pytest.mark.parametrize(("file", "least"), [("generic_questions.txt", 300), ("generic_sounds.txt", 150)])
def test_generic_questions_are_short_and_none_is_asked_twice(file: str, least: int) -> None:
    questions = generic_questions(file)
    assert len(questions) == len(set(questions)) >= least
    assert all(question == question.strip() and 0 < len(question.split()) <= 12 for question in questions)


def test_calibrating_loads_no_library_of_models(tmp_path: Path, recipe: Recipe) -> None:
    index = index_of(tmp_path / "light.reelvec", FILMS, recipe, calibrated=False)
    code = f"""
from pipelines.confidence import calibrate
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer
from transforms.recipe import load_recipe
recipe = load_recipe("offline")
assert calibrate(open_writer(IndexLocation.parse({index!r}), recipe.schema()), recipe)
"""
    assert loaded_after(code) == []
