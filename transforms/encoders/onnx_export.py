"""The text encoder as one ONNX file, compared with torch before anybody can see it. Imports torch."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from transforms.encoders.cards import Card
from transforms.encoders.light import onnx_forward
from transforms.encoders.minilm import MiniLM, load_minilm
from transforms.encoders.network import Where
from transforms.encoders.wordpieces import Forward, embed
from transforms.errors import ReelvecError

_log = logging.getLogger(__name__)

#: Short, long (more than one window), empty, accented and repeated: what a search may be asked.
PROBES = (
    "a rocket on the launch pad",
    "what did he ask of his countrymen",
    "",
    "Café, naïve & 北京 — 2026?",
    "cat",
    "a long walk through the woods in the rain " * 60,
)
MAX_DIFFERENCE = 1e-4


class ExportFailed(ReelvecError):
    """The text encoder cannot be exported here, or its export gives other vectors."""


def export_text_encoder(card: Card, path: Path) -> None:
    """Write the export to `path` in one step. Raises ExportFailed, MissingWeights, OSError."""
    model = load_minilm(card, Where())
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(descriptor)
    part = Path(name)
    try:
        write_onnx(model, part)
        difference = max_difference(model, onnx_forward(part))
        if not difference <= MAX_DIFFERENCE:
            raise ExportFailed(
                f"the exported text encoder gives other vectors than torch: max_difference={difference:.2g}, "
                f"allowed={MAX_DIFFERENCE:g}; torch {torch.__version__}"
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    _log.info("exported the text encoder for searching: %s, max difference %.1e", path, difference)


def write_onnx(model: MiniLM, path: Path) -> None:
    """Export the network for any number of texts and tokens; raises ExportFailed."""
    ids = torch.tensor([[101, 1037, 7596, 102], [101, 4937, 102, 0]])
    texts, tokens = torch.export.Dim("texts"), torch.export.Dim("tokens", max=512)
    try:
        with torch.inference_mode(), _quiet_exporter():
            torch.onnx.export(
                model.network,
                (ids, (ids != 0).long()),
                path,
                input_names=["ids", "mask"],
                output_names=["pooled"],
                dynamic_shapes=({0: texts, 1: tokens}, {0: texts, 1: tokens}),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as error:  # the exporter's many own classes, and its missing parts
        raise ExportFailed(f"the text encoder cannot be exported with torch {torch.__version__}: {error}") from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    chatty = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in chatty]
    try:
        for logger in chatty:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(chatty, levels, strict=True):
            logger.setLevel(level)


def max_difference(model: MiniLM, forward: Forward) -> float:
    """The largest difference of any coordinate between torch and `forward` over the probes."""
    expected = model.texts(PROBES)
    found = embed(PROBES, model.tokenizer, forward, window_tokens=model.window_tokens)
    return float(np.abs(expected - found).max())
