"""The text encoder: sentence-transformers' own vectors, long texts whole, no neighbours seen."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transforms.encoders.device import in_halves
from transforms.encoders.registry import handler, loaded
from transforms.encoders.weights import locate
from transforms.errors import UsageError

ROOT = Path(__file__).parents[1]
NAME = "sentence-transformers:all-MiniLM-L6-v2"
TEXTS = [
    "a rocket on the launch pad",
    "Café, naïve & 北京 — 2026?",
    "",
    "cat",
    "what did he ask of his countrymen " * 8,
]
LONG = "we walked along the river and talked about the weather " * 60  # 600 words


def encode(*texts: str) -> np.ndarray:
    encoder = loaded(NAME)
    return np.stack(encoder.handler.run_inference(list(texts), encoder.model))


def test_vectors_are_those_of_sentence_transformers(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    folder = locate(handler(NAME).card.weights[0]).parent
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)
    assert np.abs(encode(*TEXTS) - expected).max() < 1e-5


def test_a_vector_does_not_depend_on_its_neighbours():
    alone = np.concatenate([encode(text) for text in TEXTS])
    together = encode(*TEXTS, LONG)[: len(TEXTS)]
    assert np.abs(alone - together).max() < 1e-5


def test_the_same_text_gives_the_same_vector_every_time():
    assert np.array_equal(encode(*TEXTS), encode(*TEXTS))


def test_vectors_have_unit_length_and_keep_the_order():
    vectors = encode(*TEXTS)
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert np.abs(encode(*reversed(TEXTS))[::-1] - vectors).max() < 1e-5


def test_the_end_of_a_long_text_is_heard():
    plain, ending, other = encode(LONG, LONG + "and then a rocket was launched into space " * 20, "a rocket launch")
    assert ending @ other > plain @ other + 0.05


def test_an_empty_batch_gives_an_empty_list():
    encoder = loaded(NAME)
    assert encoder.handler.run_inference([], encoder.model) == []


def test_a_lone_surrogate_is_no_error():
    assert np.isfinite(encode("caf\udce9")).all()


def test_the_model_is_loaded_once_a_process():
    assert loaded(NAME).model is loaded(NAME).model is handler(NAME).load_model()


def test_auto_and_the_device_that_it_takes_share_one_model():
    model = loaded(NAME, device="auto").model
    assert loaded(NAME, device=model.where.device).model is model


def test_a_handler_travels_without_its_model(tmp_path):
    travelling = handler(NAME)
    travelling.load_model()
    packed = tmp_path / "handler.pickle"
    packed.write_bytes(pickle.dumps(travelling))
    assert packed.stat().st_size < 10_000
    code = (
        "import pickle, sys, numpy as np\n"
        f"handler = pickle.loads(open({str(packed)!r}, 'rb').read())\n"
        "vectors = handler.run_inference(['a rocket on the launch pad'], handler.load_model())\n"
        f"np.save({str(tmp_path / 'vectors.npy')!r}, vectors[0])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert np.abs(np.load(tmp_path / "vectors.npy") - encode("a rocket on the launch pad")[0]).max() < 1e-5


def test_cuda_is_never_replaced_by_the_cpu_in_silence():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    for name in (NAME, "conse:tf_efficientnet_lite2", "faster-whisper:tiny.en"):
        with pytest.raises(UsageError, match="was to run on cuda, but no such device is usable"):
            loaded(name, device="cuda")


def test_an_unknown_device_is_refused_before_anything_loads():
    with pytest.raises(UsageError, match="auto, cpu, cuda, cuda:N or mps"):
        handler(NAME, device="tpu")


def test_the_words_encoder_has_no_model():
    with pytest.raises(UsageError, match="no model to load"):
        handler("bm25:english")


def test_a_batch_that_fills_the_memory_of_cuda_is_halved():
    import torch

    sizes = []

    def run(batch):
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [item * 10 for item in batch]

    assert in_halves(run, list(range(8))) == [item * 10 for item in range(8)]
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_a_single_item_that_does_not_fit_is_an_error():
    import torch

    def full(_batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        in_halves(full, [1, 2])


def test_a_beam_pipeline_runs_the_handler():
    import apache_beam as beam
    from apache_beam.ml.inference.base import RunInference
    from apache_beam.testing.util import assert_that, equal_to

    best = [int(index) for index in (encode("a kitten", "a space ship") @ encode("cat", "rocket").T).argmax(1)]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        vectors = pipeline | beam.Create(["a kitten", "a space ship"]) | RunInference(handler(NAME))
        nearest = vectors | beam.Map(lambda vector: int((encode("cat", "rocket") @ vector).argmax()))
        assert_that(nearest, equal_to(best))
    assert best == [0, 1]
