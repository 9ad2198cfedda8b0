"""Ways of pooling the frames of a clip: what each finds of the questions about pictures.

    python benchmarks/poolings.py --media FOLDER [--index I]     # a folder with queries.tsv, an index of it

The stored vectors of the frames are pooled again, so nothing is decoded. A question is answered by the files of the
nearest clips, by exact search. The interval is of the difference to the mean, drawn over questions (bootstrap).

Predictions, written before the first run: mean 0.27 and 0.43 (first, first five), as a plain loop has; attention
within one question of it either way, since most clips are of one shot; max behind by three questions or more, since the
elementwise maximum of unit vectors is no direction that a text has. No interval excludes zero.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import figure, finish

from pipelines.evaluate import Question, read_questions
from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from transforms.encoders.fusion.held_out import change
from transforms.fuse.pooling import pool
from transforms.fusion_settings import FusionSettings
from transforms.index.query import LIVE_CLIPS
from transforms.records import Float32

POOLINGS = ("mean", "max", "attention")


def found(scores: Float32, uris: Sequence[str], questions: Sequence[Question], first: int) -> NDArray[np.float64]:
    """For each question (row) 1.0 where one of its files is among the first ones of the clips (columns)."""
    answers = []
    for row, question in zip(np.argsort(-scores, axis=1, kind="stable"), questions, strict=True):
        files = list(dict.fromkeys(uris[place] for place in row))[:first]
        answers.append(float(bool(set(files) & set(question.relevant))))
    return np.array(answers)


def measure(index: str, questions: Sequence[Question]) -> None:
    """Print the figures of each pooling."""
    with Searcher(index) as searcher:
        points = [p for p in searcher.reader.scroll(LIVE_CLIPS, vectors=True) if "frames" in p.vectors]
        asked = np.stack([np.asarray(searcher.query_vectors(one.text, by="frame")["frame"]) for one in questions])
    frames = [np.asarray(point.vectors["frames"], np.float32) for point in points]
    uris = [str(point.payload["uri"]) for point in points]
    figure("clips with pictures", len(points))
    figure("frames a clip, mean", float(np.mean([len(own) for own in frames])))
    for first in (1, 5):
        before = None
        for pooling in POOLINGS:
            settings = FusionSettings(pooling=pooling)
            answers = found(asked @ np.stack([pool(own, settings) for own in frames]).T, uris, questions, first)
            figure(f"{pooling}: recall@{first} of {len(questions)} questions", float(answers.mean()))
            if before is None:
                before = answers
                continue
            gain = change(before, answers, [one.text for one in questions])
            figure(f"{pooling}: recall@{first}, more than the mean has", gain.after - gain.before)
            figure(f"{pooling}: recall@{first}, 95 % from", gain.gain_low)
            figure(f"{pooling}: recall@{first}, 95 % to", gain.gain_high)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=os.environ.get("REELVEC_TEST_MEDIA"), help="holds queries.tsv")
    parser.add_argument("--index", help="an index of that folder; made for the occasion where none is named")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.media is None:
        print("left out: name a folder of videos with questions in queries.tsv, by --media or REELVEC_TEST_MEDIA")
        raise SystemExit
    visual = [
        one for one in read_questions(arguments.media / "queries.tsv", media=arguments.media) if one.kind == "visual"
    ]
    with tempfile.TemporaryDirectory() as scratch:
        index = arguments.index or str(Path(scratch, "media.reelvec"))
        if arguments.index is None:
            ingest(IngestSettings(sources=(str(arguments.media),), index=index))
        measure(index, visual)
    finish()
