"""What sound models share: their extractor's settings, and frames pooled into one vector."""

from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.folders import read_config
from transforms.errors import MissingWeights
from transforms.records import Float32

POOLINGS = ("mean", "max", "attention")


def extractor_settings(folder: Path) -> dict[str, Any]:
    """The settings of the model's feature extractor, from the file of its own or from that of its processor."""
    if (folder / "preprocessor_config.json").is_file() or not (folder / "processor_config.json").is_file():
        return read_config(folder, "preprocessor_config.json")
    settings = read_config(folder, "processor_config.json").get("feature_extractor")
    if not isinstance(settings, dict):
        raise MissingWeights(f"neither preprocessor_config.json nor processor_config.json describes sound: {folder}")
    return settings


def at_least(samples: Float32, shortest: int) -> Float32:
    """The samples, with silence behind them where a model could make nothing of so few."""
    return np.pad(samples, (0, max(0, shortest - len(samples)))).astype(np.float32, copy=False)


def pooled_frames(frames: Any, mask: Any, attentions: Any, pooling: str) -> Any:
    """Frames (n, frames, dim) and which of them hold sound (n, frames) -> (n, dim).

    `attention` weighs a frame by how much the frames that hold sound look at it in the last layer, of `attentions`
    (n, heads, looking, seen), on the average over heads (the significance score of Goyal et al., 2020).
    """
    frames, held = frames.float(), mask.to(frames.device).float()
    if pooling == "max":
        return frames.masked_fill(held[:, :, None] == 0, float("-inf")).amax(1)
    weights = held
    if pooling == "attention":
        weights = (attentions.float().mean(1) * held[:, :, None]).sum(1) * held
    return (frames * (weights / weights.sum(1, keepdim=True))[:, :, None]).sum(1)
