"""The text encoder for searching: the same weights, exported to ONNX once, without torch.

The export lies in the cache folder under the SHA-256 of the weights that it was made
from. It is compared with torch before it is put there; where it cannot be made or
read, torch answers.
"""

import logging
import os
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.encoders.cards import MINILM_TOKENIZER, MINILM_WEIGHTS, Card
from transforms.encoders.catalog import card, text_encoder_of
from transforms.encoders.weights import cache_folder as cache_folder
from transforms.encoders.weights import verify
from transforms.encoders.windows import Int64
from transforms.encoders.wordpieces import Forward, embed, load_tokenizer
from transforms.records import Float32

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_log = logging.getLogger(__name__)
_ready: dict[Path, "tuple[Tokenizer, Forward]"] = {}
_ready_lock = threading.Lock()

#: The one text encoder that has a light form.
PACKAGED_TEXT = "sentence-transformers:all-MiniLM-L6-v2"

#: Raised when another version of this code exports another graph.
_EXPORT_REVISION = 1


def text_vectors(name: str, texts: Sequence[str]) -> Float32:
    """Unit vectors (n, dim) of the texts in the space of the encoder `name`, whose text encoder has a light form.

    Where there is no export yet, one is made first; where none can be made, torch
    answers, which takes seconds longer to load. Raises UsageError where text cannot ask this encoder, MissingWeights.
    """
    card = text_encoder_of(name)
    if not texts:
        return np.zeros((0, card.dimensions), np.float32)
    path = export_path(card)
    if not path.is_file() and not _try_export(card):
        return _torch_vectors(card, texts)
    try:
        tokenizer, forward = _open(card, path)
    except Exception as error:  # onnxruntime's own classes share no base
        _log.warning("the exported text encoder cannot be read and is made again next time: %s: %s", path, error)
        path.unlink(missing_ok=True)
        return _torch_vectors(card, texts)
    return embed(texts, tokenizer, forward, window_tokens=int(card.setting("window_tokens")))


def kept_text_vectors(name: str, texts: Sequence[str]) -> Float32:
    """`text_vectors` of texts that are asked for again and again: encoded once a machine, kept in the cache folder."""
    card = text_encoder_of(name)
    contents = sha256("\n".join(texts).encode()).hexdigest()
    path = cache_folder() / "texts" / f"{export_path(card).stem}-{contents[:16]}.npy"
    try:
        held: Float32 = np.load(path)
        if held.shape == (len(texts), card.dimensions) and held.dtype == np.float32:
            return held
    except (OSError, ValueError, EOFError) as error:
        if path.exists():
            _log.warning("the kept vectors of texts cannot be read and are made again: %s: %s", path, error)
    vectors = text_vectors(name, texts)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.save(file, vectors)
        part.replace(path)
    except OSError as error:
        _log.info("vectors of texts are not kept: %s: %s", path, error)
    return vectors


def text_query(name: str, text: str) -> Float32:
    """The question as this encoder's space has it: (dim,), or (tokens, dim) of a late-interaction model.

    Raises UsageError where text cannot ask this encoder, MissingPackage, MissingWeights.
    """
    card = text_encoder_of(name)
    if has_light(card):
        return np.asarray(text_vectors(card.name, [text])[0])
    from transforms.encoders.registry import loaded

    return loaded(card.name).model.texts([text], "query")[0]


def export(name: str) -> Path:
    """The exported text encoder of this encoder's space, made now unless it is there already.

    Raises MissingWeights; ExportFailed where the export gives other vectors than torch
    or cannot be made here; OSError where the cache folder cannot be written.
    """
    card = text_encoder_of(name)
    path = export_path(card)
    if not path.is_file():
        from transforms.encoders.onnx_export import export_text_encoder

        export_text_encoder(card, path)
    return path


def has_light(card: Card) -> bool:
    """Whether this text encoder can be exported: the packaged one can."""
    return card.name == PACKAGED_TEXT


def export_for(name: str) -> None:
    """Export the text encoder of this name where it can be and is not yet; says so in the log where it fails."""
    if name and has_light(found := card(name)):
        _try_export(found)


def export_path(card: Card) -> Path:
    """Where the export of these weights lies: `$REELVEC_CACHE/onnx`, or the user's cache folder."""
    return cache_folder() / "onnx" / f"{card.weights_of(MINILM_WEIGHTS).sha256}-{_EXPORT_REVISION}.onnx"


def _try_export(card: Card) -> bool:
    if export_path(card).is_file():
        return True
    from transforms.encoders.onnx_export import ExportFailed

    try:
        export(card.name)
    except (ExportFailed, OSError) as error:
        _log.warning("queries are answered by torch, which takes seconds longer to load: %s", error)
        return False
    return True


def _torch_vectors(card: Card, texts: Sequence[str]) -> Float32:
    from transforms.encoders.registry import loaded

    return np.stack(loaded(card.name, device="cpu").model.texts(list(texts), "query"))


def _open(card: Card, path: Path) -> "tuple[Tokenizer, Forward]":
    with _ready_lock:
        if path not in _ready:
            _ready[path] = (load_tokenizer(verify(card.weights_of(MINILM_TOKENIZER))), onnx_forward(path))
        return _ready[path]


def onnx_forward(path: Path) -> Forward:
    """The network of an exported file, as `embed` wants it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    # The default puts a thread on every core, outside of what the process may use.
    options.intra_op_num_threads = min(4, len(os.sched_getaffinity(0)))
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def forward(ids: Int64, mask: Int64) -> Float32:
        (pooled,) = session.run(["pooled"], {"ids": ids, "mask": mask})
        return np.asarray(pooled, np.float32)

    return forward
