"""What the modality report says of corpora whose modalities are known to help, to repeat each other or to be noise."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.clip_sample import RUN, SampledClip, draw
from pipelines.modalities import ModalityReport, evenness, health, modality_report
from pipelines.neighbours import contributions, modalities, redundancy
from pipelines.questions import Question
from pipelines.report_modalities import modalities_page
from pipelines.search import Searcher
from pipelines.show_reports import sentences, show_modalities
from tests.modality_index import Vectors, beside, make_index, unit, words
from tests.small_index import the_index, the_recipe, the_searcher  # noqa: F401  (fixtures)
from transforms.encoders.light import text_vectors
from transforms.encoders.words import document_vector
from transforms.errors import UsageError
from transforms.records import Vector
from transforms.uris import uri_of_path

FRAME_TEXT = "sentence-transformers:all-MiniLM-L6-v2"


def report_of(folder: Path, vectors_of: Vectors, *, videos: int, clips: int, **options: Any) -> ModalityReport:
    with Searcher(make_index(folder / "made.reelvec", vectors_of, videos=videos, clips=clips)) as searcher:
        return modality_report(searcher, **options)


def telling_frames(video: int, clip: int) -> Mapping[str, Vector]:
    """Frames tell videos apart; transcripts are noise, and screen texts repeat them; every other video has both."""
    noise = unit(7, video, clip)
    frame = beside(unit(1, video), 2, video, clip)
    return {"frame": frame, "transcript": noise, "ocr": noise} if video % 2 == 0 else {"frame": frame}


@pytest.fixture(name="told", scope="module")
def a_report(tmp_path_factory: pytest.TempPathFactory) -> ModalityReport:
    return report_of(tmp_path_factory.mktemp("told"), telling_frames, videos=20, clips=4)


def test_coverage_is_the_share_of_clips_of_videos_and_of_seconds(tmp_path: Path) -> None:
    def vectors_of(video: int, clip: int) -> Mapping[str, Vector]:
        return {"frame": unit(video, clip)} | ({"transcript": unit(clip)} if video == 0 and clip < 3 else {})

    coverage = report_of(tmp_path, vectors_of, videos=3, clips=4).coverage
    assert coverage["frame"] == {"clips": 12, "clips_share": 1.0, "videos_share": 1.0, "seconds_share": 1.0}
    assert coverage["transcript"] == {"clips": 3, "clips_share": 0.25, "videos_share": 0.3333, "seconds_share": 0.25}
    assert coverage["words"] == {"clips": 0, "clips_share": 0.0, "videos_share": 0.0, "seconds_share": 0.0}


def test_a_modality_that_tells_videos_apart_finds_them_alone_and_adds_to_the_others(told: ModalityReport) -> None:
    assert told.contribution["queries"] == 80
    own = told.contribution["modalities"]["frame"]
    assert own["alone"]["same_video_map"] == 1.0
    assert own["added_to_the_others"]["same_video_map_ci95"][0] > 0.3


def test_a_modality_of_noise_finds_what_chance_finds_and_adds_nothing(told: ModalityReport) -> None:
    own = told.contribution["modalities"]["transcript"]
    assert own["alone"]["same_video_map"] < 2.5 * told.contribution["chance"]["same_video_map"]
    assert own["added_to_the_others"]["same_video_map_ci95"][0] <= 0.0


def test_a_modality_that_repeats_another_is_redundant_and_one_that_does_not_is_near_chance(
    told: ModalityReport,
) -> None:
    repeated, unlike = told.redundancy["transcript"]["ocr"], told.redundancy["transcript"]["frame"]
    assert repeated is not None and unlike is not None
    assert (repeated["overlap"], repeated["clips"]) == (1.0, 40)
    assert unlike["overlap"] == pytest.approx(unlike["chance"], abs=0.1)
    assert told.redundancy["ocr"]["transcript"] == repeated


def test_evenness_is_one_for_equal_shares_and_zero_for_a_single_one() -> None:
    assert evenness([0.25] * 4) == 1.0
    assert evenness([1.0, 0.0]) == 0.0
    assert evenness([1.0]) is None


def test_contributions_agree_with_a_plain_count_over_sorted_clips() -> None:
    clips = [SampledClip(f"/{at % 4}", at // 4, {"frame": beside(unit(at % 4), 9, at, share=5.0)}) for at in range(16)]
    found = contributions(clips, modalities(clips, ["frame"]))["modalities"]["frame"]["alone"]
    by_video: dict[str, list[tuple[float, float]]] = {}
    for asking in clips:
        others = sorted(
            (clip for clip in clips if clip is not asking),
            key=lambda clip: -float(np.dot(np.asarray(asking.vectors["frame"]), np.asarray(clip.vectors["frame"]))),
        )
        right = [rank for rank, clip in enumerate(others, start=1) if clip.uri == asking.uri]
        precision = sum(count / rank for count, rank in enumerate(right, start=1)) / len(right)
        beside_it = (rank for rank in right if abs(others[rank - 1].place - asking.place) == 1)
        by_video.setdefault(asking.uri, []).append((precision, 1 / next(beside_it)))
    expected = np.mean([np.mean(values, axis=0) for values in by_video.values()], axis=0)
    assert 0.3 < expected[0] < 0.95  # neither easy nor chance, so that orders matter
    assert found["same_video_map"] == pytest.approx(expected[0], abs=1e-4)
    assert found["neighbour_mrr"] == pytest.approx(expected[1], abs=1e-4)


def test_one_clip_alone_is_reported_without_comparisons(tmp_path: Path) -> None:
    found = report_of(tmp_path, lambda video, clip: {"frame": unit(1), "words": words(3, 4)}, videos=1, clips=1)
    assert (found.clips, found.contribution, found.redundancy["frame"]["words"]) == (1, {}, None)
    assert any("one clip only" in note for note in found.notes)
    assert found.health["frame"]["problems"] == []
    assert found.coverage["words"]["clips_share"] == 1.0


def test_clips_that_are_all_alike_are_said_to_be(tmp_path: Path) -> None:
    def vectors_of(video: int, clip: int) -> Mapping[str, Vector]:
        return {"frame": unit(1), "transcript": unit(2), "words": words(3, 4)}

    found = report_of(tmp_path, vectors_of, videos=12, clips=3)
    for name in ("frame", "transcript", "words"):
        assert found.health[name]["problems"] == [
            "all clips have practically the same vector: it cannot tell them apart"
        ]
    assert found.health["frame"]["distinct"] == 1
    assert found.contribution["together"]["same_video_map"] < 2.5 * found.contribution["chance"]["same_video_map"]


def test_a_corpus_without_a_word_says_which_vectors_nobody_carries(tmp_path: Path) -> None:
    found = report_of(tmp_path, lambda video, clip: {"frame": unit(video, clip)}, videos=4, clips=2)
    assert "carried by no sampled clip: transcript, ocr, words" in found.notes
    assert any(note.startswith("frame is the only modality") for note in found.notes)
    assert found.redundancy == {"frame": {}}
    assert found.imbalance["share_of_score"] == {"frame": 1.0}
    assert found.imbalance["evenness"] is None
    assert found.contribution["modalities"]["frame"]["added_to_the_others"] == {}
    assert found.health["transcript"] == {"clips": 0, "problems": []}


def test_clips_without_any_vector_are_counted_and_compared_with_nothing(tmp_path: Path) -> None:
    def vectors_of(video: int, clip: int) -> Mapping[str, Vector]:
        return {"clip": np.eye(1, 1552, dtype=np.float32)[0]}

    found = report_of(tmp_path, vectors_of, videos=2, clips=2)
    assert (found.contribution, found.redundancy, found.imbalance["share_of_score"]) == ({}, {}, {})
    assert found.coverage["clip"]["clips_share"] == 1.0


def test_the_same_seed_draws_the_same_clips_and_a_sample_is_no_larger_than_asked(tmp_path: Path) -> None:
    index = make_index(tmp_path / "made.reelvec", telling_frames, videos=12, clips=RUN + 4)
    with Searcher(index) as searcher:
        one, same, other = (draw(searcher.reader, most_clips=50, seed=seed) for seed in (1, 1, 2))
        whole = draw(searcher.reader, most_clips=5000, seed=1)
        first, again = (modality_report(searcher, most_clips=50, seed=1).as_json() for _ in range(2))
    chosen = [[(clip.uri, clip.place) for clip in sample.clips] for sample in (one, same, other)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert (len(one.clips), one.videos_scanned, one.clips_total) == (50, 4, 12 * (RUN + 4))
    assert (len(whole.clips), whole.videos_scanned) == (12 * RUN, 12)
    assert any("estimated from 4 of 12 videos" in note for note in one.notes)
    assert first == again


def sampled(*vectors: Vector) -> list[SampledClip]:
    return [SampledClip(f"/{at}", 0, {"frame": vector}) for at, vector in enumerate(vectors)]


def test_vectors_that_are_not_finite_or_not_of_unit_length_are_named() -> None:
    broken = unit(1).copy()
    broken[5] = np.nan
    (told,) = health(sampled(broken, unit(2)), {}, "frame")["problems"]
    assert told == "1 of 2 vectors are not finite"
    (told,) = health(sampled(unit(1) * np.float32(0.5), unit(2)), {}, "frame")["problems"]
    assert told == "lengths lie between 0.5 and 1 instead of at 1"
    assert health(sampled(unit(1), unit(2)), {}, "frame")["problems"] == []


def test_a_vector_that_is_not_finite_is_near_to_nothing() -> None:
    broken = unit(1).copy()
    broken[5] = np.nan
    (one,) = modalities(sampled(broken, unit(2), unit(3)), ["frame"])
    assert one.nearest[0].tolist() == [-1, -1, -1]
    assert redundancy([one]) == {"frame": {}}


#: what is seen, and what is said, in a film of that number
SEEN = ("a rocket", "a cat", "a cup of coffee", "a violin", "a train", "an elephant")
SAID = ("seven", "walrus", "quilt", "marble", "tulip", "anchor")


def seen_and_said(video: int, clip: int) -> Mapping[str, Vector]:
    frame = text_vectors(FRAME_TEXT, [f"{SEEN[video]}, number {clip}"])[0]
    return {"frame": frame, "frames": frame[None, :], "words": document_vector(SAID[video])}


def test_questions_tell_what_each_modality_finds_alone_and_adds(tmp_path: Path) -> None:
    asked = [Question(text, "visual", (uri_of_path(f"/films/{at}.mp4"),)) for at, text in enumerate(SEEN)]
    asked += [Question(text, "speech", (uri_of_path(f"/films/{at}.mp4"),)) for at, text in enumerate(SAID)]
    found = report_of(tmp_path, seen_and_said, videos=6, clips=2, questions=asked)
    assert found.questions is not None
    assert found.questions["queries"] == 12
    assert found.questions["together"]["mrr"] == 1.0
    own = found.questions["modalities"]
    assert own["words"]["alone"]["mrr"] == 0.5
    assert own["frame"]["added_to_the_others"]["recall@5_ci95"][0] > 0
    assert set(own) == {"frame", "words"}  # nobody carries the others
    assert found.imbalance["auto_hits_by"] == {"frames": 1.0}  # no transcript in the payload, so no word counts
    assert found.weights["recommended"] is not None  # auto finds half of them
    assert "weights: frame=1,words=1: on held-out questions" in "\n".join(sentences(found))


def test_questions_with_conditions_are_left_out_and_counted(tmp_path: Path) -> None:
    asked = [Question("a cat", "order", (uri_of_path("/films/1.mp4"),), options={"then": "a rocket"})]
    found = report_of(tmp_path, seen_and_said, videos=2, clips=1, questions=asked)
    assert found.questions is None
    assert "1 questions that say more than a text are left out" in found.notes


def test_an_index_without_clips_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no clip"):
        report_of(tmp_path, telling_frames, videos=0, clips=0)


def test_the_report_is_one_page_of_text_that_asks_for_nothing(told: ModalityReport) -> None:
    page = modalities_page(told, index="<script>alert(1)</script> \x1b[2J")
    assert page.count("<svg") == 3
    assert "&lt;script&gt;" in page
    assert "all together" in page
    assert not any(mark in page for mark in ("<script", "src=", "@import", "<link", "\x1b"))


def test_the_smallest_report_is_a_page_too(tmp_path: Path) -> None:
    page = modalities_page(report_of(tmp_path, lambda *_: {"frame": unit(1)}, videos=1, clips=1), index="one")
    assert "one clip only" in page
    assert page.count("<svg") == 1


def test_what_is_printed_names_the_vectors_and_the_repetition(
    told: ModalityReport, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "transcript and ocr: 1.00 of the neighbours shared" in "\n".join(sentences(told))
    show_modalities(told)
    shown = capsys.readouterr().out
    assert "80 clips of 20 videos" in shown
    assert "no recommendation: there are no labelled questions" in shown


def test_the_report_has_only_numbers_that_json_knows(told: ModalityReport) -> None:
    keys = {"coverage", "contribution", "questions", "redundancy", "imbalance", "health", "weights", "notes"}
    assert keys <= json.loads(json.dumps(told.as_json(), allow_nan=False)).keys()
