"""Every family of encoders keeps the same promises; tiny models of each run the code path of real weights."""

import pickle
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families.tiny import Tiny, inputs_of
from transforms.encoders.cards import Card
from transforms.encoders.catalog import card
from transforms.encoders.encoder import Encoder
from transforms.encoders.family import families, family
from transforms.encoders.names import Name
from transforms.encoders.network import Kind
from transforms.encoders.registry import handler, loaded
from transforms.errors import UsageError

MODULES = ("text", "image", "image_language", "sound", "speech_sound", "clips", "clips_joint", "parts", "services")
TINY: tuple[Tiny, ...] = tuple(tiny for module in MODULES for tiny in import_module(f"tests.families.{module}").TINY)


@pytest.fixture(scope="session", params=TINY, ids=str)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    one: Tiny = request.param
    if missing := family(one.family).missing_packages:
        pytest.skip(f"needs the packages {', '.join(missing)}")
    return one


@pytest.fixture(scope="session")
def saved(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the saved model, and the encoder's name."""
    folder = tmp_path_factory.mktemp(str(tiny).replace("/", "-"))
    return folder, tiny.save(folder)


@pytest.fixture(scope="session")
def encoder(saved: tuple[Path, str], tiny: Tiny) -> Encoder:
    with pytest.MonkeyPatch.context() as patch:
        for key, value in tiny.environment.items():
            patch.setenv(key, value)
        return loaded(saved[1], device="cpu").model


def embedded(encoder: Encoder, kind: Kind, inputs: Sequence[Any]) -> Any:
    """(n, dim), or a list of (tokens, dim)."""
    if kind == "text":
        rows = encoder.texts(inputs)
        return rows if encoder.card.multivector else np.stack(rows) if rows else np.zeros((0, encoder.card.dimensions))
    if kind == "image":
        size = encoder.card.frame_spec
        shape = (0, size.height, size.width, 3) if size else (0, 8, 8, 3)
        return encoder.frames(np.stack(inputs) if inputs else np.zeros(shape, np.uint8))
    return encoder.sounds(inputs) if kind == "sound" else encoder.clips(inputs)


def kinds(card: Card) -> tuple[Kind, ...]:
    return card.accepts


def test_vectors_are_float32_of_unit_length_and_of_the_cards_size(encoder: Encoder):
    for kind in kinds(encoder.card):
        rows = embedded(encoder, kind, inputs_of(encoder.card, kind))
        assert len(rows) == 4
        for row in rows:
            assert row.dtype == np.float32 and row.shape[-1] == encoder.card.dimensions
            assert np.linalg.norm(row, axis=-1) == pytest.approx(1.0, abs=1e-4)


def test_the_same_input_gives_the_same_vector(encoder: Encoder):
    for kind in kinds(encoder.card):
        inputs = inputs_of(encoder.card, kind)
        first, second = (embedded(encoder, kind, inputs) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch(encoder: Encoder):
    for kind in kinds(encoder.card):
        inputs = inputs_of(encoder.card, kind)
        together = embedded(encoder, kind, inputs)
        for place, one in enumerate(inputs):
            np.testing.assert_allclose(embedded(encoder, kind, [one])[0], together[place], atol=1e-5)


def test_different_inputs_give_different_vectors(encoder: Encoder):
    for kind in kinds(encoder.card):
        rows = embedded(encoder, kind, inputs_of(encoder.card, kind))
        for place in range(1, 4):
            assert rows[0].shape != rows[place].shape or np.abs(rows[0] - rows[place]).max() > 1e-4


def test_a_long_text_of_any_characters_is_embedded_whole(encoder: Encoder):
    if "text" not in encoder.card.accepts:
        pytest.skip("takes no text")
    longest = min(encoder.card.longest_tokens or 40, 300)
    for character in "北🚀ﷺİ":  # of several tokens each; the last two grow when they are normalised
        for count in (longest // 2 - 1, longest - 1, 2 * longest):
            for rows in encoder.texts([f"a{character * count}b", character * count]):
                lengths = np.linalg.norm(np.atleast_2d(rows), axis=1)
                knows_nothing = family(encoder.card.family).may_know_nothing and not lengths.any()
                assert knows_nothing or lengths == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_less_precision_gives_nearly_the_same_vectors_or_is_refused(
    saved: tuple[Path, str], encoder: Encoder, precision: str
):
    name = str(Name.parse(saved[1]).with_options({"precision": precision}))
    if precision not in family(encoder.card.family).precisions:
        with pytest.raises(UsageError, match="'precision' is one of fp32"):
            card(name)
        return
    try:
        rough = loaded(name, device="cpu").model
    except UsageError:
        with pytest.raises(UsageError, match=r"no linear layers for int8|cannot be pooled in bf16"):
            loaded(name, device="cpu")
        return
    assert card(name).fingerprint != encoder.card.fingerprint
    for kind in kinds(encoder.card):
        inputs = inputs_of(encoder.card, kind, 1)
        (exact,), (found,) = embedded(encoder, kind, inputs), embedded(rough, kind, inputs)
        assert np.sum(exact * found, axis=-1).min() > 0.95


def test_only_what_torch_runs_is_compiled(saved: tuple[Path, str], tiny: Tiny):
    name = str(Name.parse(saved[1]).with_options({"compile": "true"}))
    if family(tiny.family).compiles:
        assert card(name).fingerprint == card(saved[1]).fingerprint
    else:
        with pytest.raises(UsageError, match="leave compile=true out"):
            card(name)


def test_an_empty_batch_gives_no_vectors(encoder: Encoder):
    for kind in kinds(encoder.card):
        assert len(embedded(encoder, kind, [])) == 0


def test_the_handler_travels_to_workers(saved: tuple[Path, str], encoder: Encoder):
    found = pickle.loads(pickle.dumps(handler(saved[1], device="cpu")))
    assert found.card == encoder.card


def test_vectors_are_those_of_the_library_itself(tiny: Tiny, saved: tuple[Path, str], encoder: Encoder):
    if tiny.reference is None:
        pytest.skip("no other implementation of it is here to compare with")
    for kind in kinds(encoder.card):
        inputs = inputs_of(encoder.card, kind)
        wanted = [_unit(row) for row in tiny.reference(saved[0], kind, inputs)]
        found = embedded(encoder, kind, inputs)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        changed = embedded(encoder, kind, list(reversed(inputs)))  # the check can fail
        assert any(a.shape != b.shape or np.abs(a - b).max() > 1e-4 for a, b in zip(changed, wanted, strict=True))


def test_a_card_knows_itself(saved: tuple[Path, str], tiny: Tiny):
    found = card(saved[1])
    assert found.family == tiny.family and found.name == saved[1]
    assert found.dimensions > 0 and found.accepts and found.licence
    assert found.fingerprint == card(saved[1]).fingerprint


def test_every_family_has_a_tiny_model_or_a_reason():
    with_models = {one.family for one in TINY}
    reasons = {
        "bm25": "has no model: tests/test_encoders_words.py",
        "conse": "its real weights are here: tests/test_encoders_frames.py",
        "faster-whisper": "gives words: tests/test_encoders_speech.py",
        "whisper": "gives words: tests/test_encoders_whisper.py",
        "rapidocr": "gives text: tests/test_encoders_ocr.py",
        "objects": "gives boxes: tests/test_encoders_objects.py",
        "imagebind": "no package of it can be installed",
        "languagebind": "its package wants an older transformers",
        "passt": "its package wants a torchaudio that does not load",
    }
    assert {one.name for one in families()} == with_models | reasons.keys()


def _unit(row: Any) -> Any:
    values = np.asarray(row, np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)
