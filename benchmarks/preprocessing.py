"""Frames scaled inside ffmpeg against the libraries' own preprocessing of the full-size frame, element by element.

    python benchmarks/preprocessing.py --media FOLDER     # else the example videos

Printed are the largest and the mean difference of the tensors that the first layer sees, in the units of the network
(most lie between -2 and 2), over four frames of each video; and, for the encoder whose real weights are here, the
least and the mean cosine of the vectors. A family below 0.98 there would take full frames.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from corpora import EXAMPLES
from report import figure, finish

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.families.preprocessing import CASES, CONSE, FULL_SIZE, Difference, Prepares, decoded, difference
from transforms.encoders.pictures import prepared
from transforms.encoders.registry import loaded
from transforms.records import Float32


def differences(case: Prepares, videos: list[Path]) -> Difference:
    """The largest and the mean one over all videos."""
    with tempfile.TemporaryDirectory() as folder:
        encoder = loaded(case.save(Path(folder)), device="cpu").model
        found = [difference(case, Path(folder), encoder, video) for video in videos]
    return Difference(max(one.largest for one in found), float(np.mean([one.mean for one in found])))


def cosines(name: str, videos: list[Path]) -> Float32:
    """Of the vectors of frames scaled by ffmpeg and of the same ones scaled by PIL from their full size."""
    encoder = loaded(name, device="cpu").model
    spec = encoder.card.frame_spec
    assert spec is not None
    pairs = [decoded(video, spec, FULL_SIZE) for video in videos]
    ours = encoder.frames(np.concatenate([small for small, _ in pairs]))
    theirs = encoder.frames(np.stack([prepared(frame, spec) for _, full in pairs for frame in full]))
    return np.asarray((ours * theirs).sum(1), np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--media", type=Path, default=EXAMPLES)
    parser.add_argument("--json", action="store_true")
    videos = sorted(parser.parse_args().media.glob("*.mp4"))
    for case in CASES:
        found = differences(case, videos)
        figure(f"{case}: largest difference", found.largest)
        figure(f"{case}: mean difference", found.mean)
    name = CONSE.save(Path())
    moved = cosines(name, videos)
    figure(f"{name}: least cosine of the vectors", float(moved.min()), at_least=0.98)
    figure(f"{name}: mean cosine of the vectors", float(moved.mean()))
    finish()
