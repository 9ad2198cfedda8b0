"""The network of `sound-events`: log-mel bands -> which kinds of sound are heard, and a vector. In plain torch.

64 mel bands between 40 and 7,800 Hz of Hann windows of 32 ms, one each 20 ms; four convolutions halve both axes, two
more look along time, mean and maximum over time go into two linear layers. 129,000 parameters.
"""

import torch
from torch import Tensor, nn

RATE_HZ, WINDOW, HOP, BANDS = 16_000, 512, 320, 64
LOWEST_HZ, HIGHEST_HZ = 40.0, 7_800.0
_FLOOR = 1e-9  # -90 dB below the power of a full-scale tone
_CHANNELS = (12, 24, 32, 48)
_ALONG_TIME = 64


def mel_bands() -> Tensor:
    """Triangular mel filters (257, 64)."""
    from transformers.audio_utils import mel_filter_bank

    return torch.from_numpy(
        mel_filter_bank(WINDOW // 2 + 1, BANDS, LOWEST_HZ, HIGHEST_HZ, RATE_HZ, norm=None, mel_scale="htk")
    ).float()


def log_mel(samples: Tensor, bands: Tensor) -> Tensor:
    """Samples (n, count) at 16 kHz, full scale at 1 -> natural logarithm of mel power (n, 64, frames)."""
    window = torch.hann_window(WINDOW, device=samples.device)
    spectrum = torch.stft(samples, WINDOW, HOP, window=window, return_complex=True)  # (n, 257, frames)
    power = spectrum.abs().square() / window.sum().square()
    return torch.log(torch.einsum("nft,fb->nbt", power, bands) + _FLOOR)


class SoundNetwork(nn.Module):
    """Log-mel bands (n, 64, frames) -> the log odds of each label (n, labels), and vectors (n, dimensions)."""

    def __init__(self, labels: int, dimensions: int) -> None:
        super().__init__()
        first, second, third, fourth = _CHANNELS
        self.shapes = nn.Sequential(
            *_convolution(1, first, (2, 2)),
            *_convolution(first, second, (2, 2)),
            *_convolution(second, third, (2, 1)),
            *_convolution(third, fourth, (2, 2)),
        )
        self.rhythm = nn.Sequential(
            nn.Conv1d(fourth * BANDS // 16, _ALONG_TIME, 1),
            nn.ReLU(),
            nn.Conv1d(_ALONG_TIME, _ALONG_TIME, 5, padding=4, dilation=2),
            nn.BatchNorm1d(_ALONG_TIME),
            nn.ReLU(),
            nn.Conv1d(_ALONG_TIME, _ALONG_TIME, 5, padding=4, dilation=2),
            nn.BatchNorm1d(_ALONG_TIME),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.3)
        self.labels = nn.Linear(2 * _ALONG_TIME, labels)
        self.projection = nn.Linear(2 * _ALONG_TIME, dimensions)

    def pooled(self, bands: Tensor) -> Tensor:
        """What is heard over the whole time (n, 128)."""
        shapes = self.shapes((bands[:, None] + 12) / 5)  # about -2 to 2
        along: Tensor = self.rhythm(shapes.flatten(1, 2))
        return torch.cat([along.mean(-1), along.amax(-1)], 1)

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """(n, labels) and (n, dimensions)."""
        pooled = self.pooled(bands)
        return self.labels(self.dropout(pooled)), self.projection(pooled)


def _convolution(inputs: int, outputs: int, stride: tuple[int, int]) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
