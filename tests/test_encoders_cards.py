"""Cards and pinned weights: names, fingerprints, and files that are not what was pinned."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from transforms.encoders.cards import MINILM_TOKENIZER, Weights
from transforms.encoders.catalog import card, packaged, text_encoder_of
from transforms.encoders.weights import locate, state, verify
from transforms.errors import MissingWeights, UsageError
from transforms.records import FrameSpec

ROOT = Path(__file__).parents[1]


def test_every_card_is_found_by_its_name_and_its_fingerprint_is_its_own():
    assert all(card(each.name) is each for each in packaged())
    assert len({each.fingerprint for each in packaged()}) == len(packaged())


def test_an_unknown_encoder_suggests_the_nearest_names():
    with pytest.raises(UsageError, match=r"faster-whisper:tiny\.en"):
        card("faster-whisper:tiny")


@pytest.mark.parametrize(
    "change",
    [
        {"settings": (("top_k", 10), ("temperature", 2.0), ("template", "{name}"), ("revision", 1))},
        {"frame_spec": FrameSpec(260, 260, "crop")},
        {"weights": (replace(card("conse:tf_efficientnet_lite2").weights[0], sha256="0" * 64),)},
    ],
    ids=["a setting", "how frames are cut", "the weights"],
)
def test_what_decides_a_vector_changes_the_fingerprint(change):
    conse = card("conse:tf_efficientnet_lite2")
    assert replace(conse, **change).fingerprint != conse.fingerprint


def test_what_decides_no_vector_leaves_the_fingerprint_alone():
    conse = card("conse:tf_efficientnet_lite2")
    moved = tuple(replace(weights, folder="/elsewhere", version="9") for weights in conse.weights)
    assert replace(conse, weights=moved, licence="other").fingerprint == conse.fingerprint


def test_text_asks_frames_through_the_text_encoder_of_their_space():
    assert text_encoder_of("conse:tf_efficientnet_lite2").name == "sentence-transformers:all-MiniLM-L6-v2"
    for silent in ("faster-whisper:tiny.en", "bm25:english"):
        with pytest.raises(UsageError, match="no text can be compared"):
            text_encoder_of(silent)


@pytest.mark.parametrize("name", [each.name for each in packaged()])
def test_the_pinned_weights_of_every_encoder_are_here(name):
    assert state(card(name)) == "available"
    assert all(verify(weights).is_file() for weights in card(name).weights)


def test_a_flipped_byte_is_refused_and_the_message_names_the_cure(tmp_path):
    pinned = card("sentence-transformers:all-MiniLM-L6-v2").weights_of(MINILM_TOKENIZER)
    content = bytearray(locate(pinned).read_bytes())
    local = replace(pinned, folder=str(tmp_path))
    path = tmp_path / pinned.file
    path.parent.mkdir()
    path.write_bytes(content)
    assert verify(local) == path

    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(MissingWeights, match=r"not the pinned ones.*reelvec\[offline\]"):
        verify(local)
    changed = replace(card("sentence-transformers:all-MiniLM-L6-v2"), weights=(local,))
    assert state(changed) == "missing-weights"


def test_a_package_that_is_not_installed_is_named_with_the_cure():
    absent = Weights("no-such-model-package", "1.0", "model.bin", "0" * 64)
    with pytest.raises(MissingWeights, match=r"no-such-model-package 1.0 is not installed.*reelvec\[offline\]"):
        verify(absent)
    assert state(replace(card("bm25:english"), weights=(absent,))) == "missing-package"


def test_a_file_that_a_package_lacks_is_missing_weights():
    pinned = card("faster-whisper:tiny.en").weights[0]
    with pytest.raises(MissingWeights, match=r"has no file model/other\.bin"):
        locate(replace(pinned, file="model/other.bin"))


def test_cards_weights_words_and_the_registry_import_no_model_library():
    heavy = ("torch", "apache_beam", "transformers", "sentence_transformers", "timm", "onnxruntime")
    code = (
        "import sys, transforms.encoders.weights, transforms.encoders.words, transforms.encoders.health\n"
        "import transforms.encoders.registry, transforms.encoders.light\n"
        "from transforms.encoders.catalog import packaged\n"
        "[transforms.encoders.weights.state(card) for card in packaged()]\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_guide_shows_a_family_as_it_is():
    guide = (ROOT / "docs" / "encoders.md").read_text()
    code = (ROOT / "transforms" / "encoders" / "families" / "clap.py").read_text()
    assert f"```python\n{code}```" in guide
    docstrings = {
        line
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    lines = [line for place, line in enumerate(code.splitlines(), 1) if line.strip() and place not in docstrings]
    assert f"CLAP, {len(lines)} lines of code without docstrings" in guide and len(lines) < 60
