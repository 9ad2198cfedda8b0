"""Statistics of mel-frequency cepstral coefficients (Davis and Mermelstein, 1980): the floor to compare with.

20 coefficients of 25 ms frames, one each 10 ms: an orthonormal DCT-II of the logarithm of 40 mel bands. The vector
is the mean and the standard deviation of each over time, and those of its change from frame to frame: 80 numbers.
The mean of the first coefficient, the loudness, is left in; numbers are those of a sound and not of a corpus.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Where
from transforms.encoders.sounds import at_least
from transforms.records import Float32

RATE_HZ, FRAME, HOP, FFT = 16_000, 400, 160, 512
BANDS, COEFFICIENTS = 40, 20
LONGEST_SECONDS = 30.0


@dataclass(eq=False)
class MfccNetwork(Network):
    """The mel bands (257, 40) and the window (400,)."""

    bands: Any = field(repr=False)
    window: Any = field(repr=False)
    where: Where = Where()

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, 80)."""
        return np.stack([statistics(self.coefficients(window)) for window in windows])

    def coefficients(self, samples: Float32) -> Float32:
        """(frames, 20)."""
        from scipy.fft import dct
        from transformers.audio_utils import spectrogram

        bands = spectrogram(
            at_least(samples, FRAME),
            self.window,
            frame_length=FRAME,
            hop_length=HOP,
            fft_length=FFT,
            center=False,
            power=2.0,
            mel_filters=self.bands,
            mel_floor=1e-10,
            log_mel="log",
        )  # (40, frames)
        return np.asarray(dct(bands, type=2, norm="ortho", axis=0)[:COEFFICIENTS].T, np.float32)


def statistics(coefficients: Float32) -> Float32:
    """(frames, 20) -> (80,): mean, standard deviation, and both of the change from frame to frame."""
    change = np.diff(coefficients, axis=0, prepend=coefficients[:1])
    return np.concatenate([part for rows in (coefficients, change) for part in (rows.mean(0), rows.std(0))])


def describe(name: Name, folder: Path | None) -> Card:
    """The card; there are no weights."""
    name.check_options()
    return Card(
        name=str(name),
        modality="sound",
        dimensions=4 * COEFFICIENTS,
        space="mfcc:statistics",
        text_queries=False,
        frame_spec=None,
        sample_rate_hz=RATE_HZ,
        weights=(),
        licence="nothing of others in it",
        languages=(),
        settings=(("bands", BANDS), ("coefficients", COEFFICIENTS), ("revision", 1)),
        identity="mfcc:statistics",
        accepts=("sound",),
        longest_seconds=LONGEST_SECONDS,
    )


def load(card: Card, where: Where) -> MfccNetwork:
    """The mel bands, HTK's."""
    from transformers.audio_utils import mel_filter_bank, window_function

    bands = mel_filter_bank(FFT // 2 + 1, BANDS, 20.0, RATE_HZ / 2, RATE_HZ, norm=None, mel_scale="htk")
    return MfccNetwork(bands, window_function(FRAME, "hann"), where)
