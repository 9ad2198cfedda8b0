"""The text on a picture, by PP-OCRv4 (the PaddleOCR project) as RapidOCR runs it in onnxruntime.

A detector finds lines, a recognizer reads them. The classifier between them, which turns lines that stand on their
heads, is left out: on drawn slides it turned one upright line in eight, and a turned line is lost.

The recognizer was trained on Chinese, which has no spaces, and leaves most of them out of English capitals; it does see
them, only not surely enough. So here a space stands wherever between two characters its probability reaches
`least_space`, and `space_share` of the highest in the line, which is near one where the recognizer is sure of others.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card, Weights
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Pixels, Where
from transforms.encoders.weights import verify
from transforms.records import Float32, FrameSpec

_MAX_THREADS = 4
_LONGEST_SIDE = 1920  # pixels; what it costs and gains is measured by benchmarks/screen_text.py
_SLIMMEST = 4  # the detector enlarges the short side: a picture slimmer than 1:4 is made wider with black
_CHINESE = "\u2e80"  # the first character of East Asian scripts
_SMALLEST = 8  # pixels: no letter is readable in less

_WEIGHTS = tuple(
    Weights("rapidocr-onnxruntime", "1.4.4", f"models/{file}", sha256)
    for file, sha256 in (
        ("ch_PP-OCRv4_det_infer.onnx", "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"),
        ("ch_ppocr_mobile_v2.0_cls_infer.onnx", "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
        ("ch_PP-OCRv4_rec_infer.onnx", "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"),
    )
)


@dataclass(eq=False)
class RapidOcrNetwork(Network):
    """RapidOCR's engine; it finds the lines and hands their probabilities to `decoded`."""

    engine: Any
    where: Where = Where()

    def read(self, picture: Pixels) -> str:
        """A picture (height, width, 3) RGB uint8 of any size -> its rows of text from top to bottom, a row a line."""
        if min(picture.shape[:2]) < _SMALLEST:
            return ""
        found, _ = self.engine(np.ascontiguousarray(_widened(picture)[:, :, ::-1]))  # it takes BGR
        return "\n".join(rows_of_text([(np.asarray(corners), text) for corners, text, _ in found or ()]))


def decoded(
    probabilities: Float32, characters: Sequence[str], *, least_space: float, space_share: float
) -> tuple[str, float]:
    """Probabilities (steps, characters) of one line -> its text and the mean probability of its characters.

    Of `characters` the first is the blank of CTC (Graves et al., 2006), the last one the space. A line without
    a letter or a digit (icons, arrows) counts as no text.
    """
    best = probabilities.argmax(1)
    starts = np.flatnonzero((best != 0) & (best != np.append(0, best[:-1])))  # one a character: repeats are one
    own = [characters[best[start]] for start in starts]
    seen = [probabilities[one : other + 1, -1].max() for one, other in pairwise(starts)]  # of a space, at its best
    least = max(least_space, space_share * max(seen, default=0.0))
    gaps = (probability >= least and _may_part(*two) for probability, two in zip(seen, pairwise(own), strict=True))
    read = own[:1] + [f" {one}" if gap else one for gap, one in zip(gaps, own[1:], strict=True)]
    text = " ".join("".join(read).split())
    if not any(map(str.isalnum, text)):
        return "", 0.0
    return text, float(probabilities[starts, best[starts]].mean())


def _may_part(before: str, after: str) -> bool:
    """Whether a space may stand there that was not read as one: before a word, and not inside of Chinese."""
    return after.isalnum() and min(before, after) < _CHINESE


def rows_of_text(found: Sequence[tuple[Any, str]]) -> list[str]:
    """Pieces of text with their four corners (x, y) -> rows from top to bottom, each read from left to right.

    A piece whose middle lies between top and bottom of the first piece of a row belongs to the row.
    """
    rows: list[list[tuple[float, float, float, str]]] = []  # of (left, top, bottom, text)
    for corners, text in sorted(found, key=lambda piece: (piece[0][:, 1].min(), piece[0][:, 0].min())):
        left, top, bottom = corners[:, 0].min(), corners[:, 1].min(), corners[:, 1].max()
        own = next((row for row in rows if row[0][1] <= (top + bottom) / 2 < row[0][2]), None)
        if own is None:
            rows.append([(left, top, bottom, text)])
        else:
            own.append((left, top, bottom, text))
    return [" ".join(text for *_, text in sorted(row)) for row in rows]


def describe(name: Name, folder: Path | None) -> Card:
    """The card; every weight comes with the package."""
    name.check_options()
    return Card(
        name=str(name),
        modality="ocr",
        dimensions=0,
        space="",
        text_queries=False,
        frame_spec=FrameSpec(_LONGEST_SIDE, _LONGEST_SIDE, "whole"),
        sample_rate_hz=None,
        weights=_WEIGHTS,
        licence="Apache-2.0",
        languages=("en", "zh"),
        settings=(
            ("line_threshold", 0.5),
            ("least_score", 0.7),
            ("least_space", 0.005),
            ("space_share", 0.08),
            ("longest_side", _LONGEST_SIDE),
            ("revision", 1),
        ),
        identity="rapidocr:ppocr-v4",
        frame_choice="middle",
    )


def load(card: Card, where: Where) -> RapidOcrNetwork:
    """Load what the card pins; raises MissingWeights."""
    from rapidocr_onnxruntime import RapidOCR

    for weights in card.weights:
        verify(weights)  # the engine loads all of them from its own folder, which is the one verified
    engine = RapidOCR(
        text_score=card.setting("least_score"),
        use_cls=False,
        max_side_len=int(card.setting("longest_side")),
        det_box_thresh=card.setting("line_threshold"),
        intra_op_num_threads=min(_MAX_THREADS, len(os.sched_getaffinity(0))),
        inter_op_num_threads=1,
    )
    characters = engine.text_rec.postprocess_op.character
    spaces = {key: card.setting(key) for key in ("least_space", "space_share")}

    def decode(lines: Float32, *_: Any, **__: Any) -> list[tuple[str, float]]:
        return [decoded(line, characters, **spaces) for line in lines]

    engine.text_rec.postprocess_op = decode
    return RapidOcrNetwork(engine, where)


def _widened(picture: Pixels) -> Pixels:
    """The picture with black at its right or below where it is very slim."""
    height, width = picture.shape[:2]
    missing = (max(0, -(-width // _SLIMMEST) - height), max(0, -(-height // _SLIMMEST) - width))
    return np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0))) if any(missing) else picture
