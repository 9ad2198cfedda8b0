"""The [fusion] section of a recipe: what it refuses, and what it leaves as it was."""

from pathlib import Path

import numpy as np
import pytest

from tests.trained_files import pooling_file, table_file, units
from transforms.encoders.catalog import card
from transforms.encoders.fusion.trained import Trained, read_trained, write_trained
from transforms.errors import MissingWeights, RecipeMismatch, UsageError
from transforms.fuse.strategies import FUSIONS
from transforms.fusion_settings import STRATEGIES, FusionSettings
from transforms.recipe import Recipe

PLAIN = Recipe.of(
    {
        "name": "pinned",
        "frames": {"encoder": "conse:tf_efficientnet_lite2"},
        "speech": {"encoder": "faster-whisper:tiny.en"},
        "text": {"encoder": "sentence-transformers:all-MiniLM-L6-v2"},
    }
)


def with_fusion(**settings: object) -> Recipe:
    return Recipe.of(PLAIN.settings() | {"fusion": settings})


def test_a_recipe_that_uses_none_of_it_has_the_fingerprints_that_it_had_before_there_was_any() -> None:
    assert PLAIN.vector_fingerprints() == {
        "frame": "502c0fa8ca24add8eb4f0529456bd845",
        "frames": "502c0fa8ca24add8eb4f0529456bd845",
        "transcript": "efca21007ac944107aecb3db0e9e82ee",
        "clip": "9614e73297e19bd1511ce0ccdd026222",
    }
    lighter = with_fusion(frame=0.5, position_periods_seconds=[60.0])
    assert lighter.vector_fingerprints()["clip"] == "38881dd54aee4e09942f111e5782f786"
    said = with_fusion(strategy="blocks", pooling="mean", position_kind="sinusoidal")
    assert said.fingerprint == PLAIN.fingerprint
    assert "pooling" not in PLAIN.settings()["fusion"]


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"pooling": "max"}, {"frame", "clip"}),
        ({"pooling": "attention"}, {"frame", "clip"}),
        ({"position_kind": "relative"}, {"clip"}),
        ({"position_kind": "none"}, {"clip"}),
        ({"transcript": 0.7}, {"clip"}),
    ],
)
def test_a_setting_changes_what_it_decides_and_nothing_else(settings: dict[str, object], changed: set[str]) -> None:
    before, after = PLAIN.vector_fingerprints(), with_fusion(**settings).vector_fingerprints()
    assert {name for name in before if before[name] != after[name]} == changed
    assert Recipe.of(with_fusion(**settings).settings()) == with_fusion(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (dict.fromkeys(("frame", "transcript", "ocr", "audio", "change", "position"), 0.0), "every block.*weighs 0"),
        ({"frame": -1.0}, "frame=-1.0"),
        ({"ocr": float("nan")}, "ocr=nan"),
        ({"frame": 1e200}, "from 0 to 1000: .* frame=1e\\+200"),
        ({"audio": float("inf")}, "audio=inf"),
        ({"frame": "heavy"}, "frame is a finite number: frame='heavy'"),
        ({"frame": [1.0]}, "frame is a finite number"),
        ({"position_periods_seconds": 60.0}, "is a list of numbers"),
        ({"position_periods_seconds": [60.0, 0.0]}, "more than 0"),
        ({"position_periods_seconds": [], "position_periods_fraction": []}, 'position_kind = "none"'),
        ({"position_periods_seconds": [], "position_kind": "relative"}, "relative position needs a period"),
        ({"pooling": "median"}, "mean, max, attention, learned: pooling='median'"),
        ({"pooling": 3}, "pooling is a text"),
        ({"position_kind": "rotary"}, "sinusoidal, learned, relative, hybrid, none: position_kind='rotary'"),
        ({"strategy": "early"}, "blocks, joint, head: strategy='early'"),
        ({"strategy": "head"}, "train-fusion --kind head"),
        ({"pooling": "learned"}, "train-fusion --kind attention"),
        ({"position_kind": "learned"}, "train-fusion --kind position"),
        ({"position_kind": "hybrid"}, "train-fusion --kind position"),
        ({"head": "h.safetensors"}, "would do nothing with strategy='blocks'"),
        ({"pooling_file": "a.safetensors"}, "would do nothing with pooling='mean'"),
        ({"weight": 1.0}, "no setting 'weight'; it has frame, transcript"),
        ({"strategy": "joint"}, r"\[joint\] encoder and.*go together"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        with_fusion(**settings)


def test_every_strategy_has_its_fusion_and_says_what_it_looks_at() -> None:
    assert tuple(FUSIONS) == STRATEGIES
    assert {name: fusion.inputs for name, fusion in FUSIONS.items()} == {
        "blocks": ("vectors", "frames"),
        "joint": ("media",),
        "head": ("vectors", "frames"),
    }
    assert [name for name, fusion in FUSIONS.items() if fusion.trained] == ["head"]


def test_a_joint_encoder_must_take_pictures_and_words_together() -> None:
    settings = PLAIN.settings() | {"fusion": {"strategy": "joint"}, "joint": {"encoder": "motion:dis"}}
    with pytest.raises(UsageError, match=r"qwen3-vl and embedding-gemma"):
        Recipe.of(settings).schema()
    with pytest.raises(UsageError, match="go together"):
        Recipe.of(PLAIN.settings() | {"joint": {"encoder": "motion:dis"}})


def test_the_content_of_a_file_is_part_of_the_fingerprint_and_its_place_is_not(tmp_path: Path) -> None:
    def clip_print(path: str) -> str:
        return with_fusion(position_kind="learned", position_file=path).vector_fingerprints()["clip"]

    one = table_file(tmp_path / "one.safetensors", units(1, 9, 6))
    same = table_file(tmp_path / "same.safetensors", units(1, 9, 6))
    other = table_file(tmp_path / "other.safetensors", units(2, 9, 6))
    assert clip_print(one) == clip_print(same) != clip_print(other)
    assert clip_print(one) != PLAIN.vector_fingerprints()["clip"]


def test_a_file_that_is_not_there_or_damaged_is_named_with_the_cure(tmp_path: Path) -> None:
    missing = with_fusion(strategy="head", head=str(tmp_path / "no.safetensors"))
    with pytest.raises(MissingWeights, match=r"no\.safetensors.*train-fusion --kind head"):
        missing.schema()
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nonsense")
    with pytest.raises(MissingWeights, match=r"broken\.safetensors is damaged"):
        with_fusion(strategy="head", head=str(broken)).schema()
    stranger = tmp_path / "stranger.safetensors"
    from safetensors.numpy import save_file

    save_file({"mean": np.zeros(3, np.float32)}, stranger)
    with pytest.raises(MissingWeights, match="was not made by `reelvec train-fusion`"):
        read_trained(stranger, "head")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    table = table_file(tmp_path / "table.safetensors", units(1, 9, 6))
    with pytest.raises(UsageError, match="holds a trained position, not a trained head"):
        with_fusion(strategy="head", head=table).schema()


def test_a_pooling_of_another_recipe_or_size_is_refused(tmp_path: Path) -> None:
    own = {"frames": PLAIN.vector_fingerprints()["frames"]}
    query = units(1, 1)[0]
    good = with_fusion(pooling="learned", pooling_file=pooling_file(tmp_path / "good", query, own))
    assert "frame" in good.schema().vector_names
    other = with_fusion(pooling="learned", pooling_file=pooling_file(tmp_path / "other", query, {"frames": "0" * 32}))
    with pytest.raises(RecipeMismatch, match="trained on 'frames' of another recipe"):
        other.schema()
    small = with_fusion(pooling="learned", pooling_file=pooling_file(tmp_path / "small", query[:10], own))
    with pytest.raises(UsageError, match=r"frames of 10 dimensions; those of conse:tf_efficientnet_lite2 have 384"):
        small.schema()


def test_a_head_without_a_text_encoder_or_with_other_tensors_is_refused(tmp_path: Path) -> None:
    sizes = {"modalities": {"frames": 384}, "in_space": ["frames"], "dimensions": 384}
    file = tmp_path / "h.safetensors"
    write_trained(Trained("head", 384, {"query": units(1, 1)}, sizes=sizes), file)
    from transforms.encoders.fusion.head import load_head

    with pytest.raises(MissingWeights, match="not those of a head of its sizes"):
        load_head(str(file))
    settings = {key: value for key, value in PLAIN.settings().items() if key not in ("speech", "text")}
    with pytest.raises(UsageError, match=r"needs \[text\]"):
        Recipe.of(settings | {"fusion": {"strategy": "head", "head": str(file)}}).schema()


def test_a_head_of_other_dimensions_than_the_texts_is_refused(tmp_path: Path) -> None:
    own = {"frames": PLAIN.vector_fingerprints()["frames"], "texts": card(PLAIN.text_encoder).fingerprint}
    file = tmp_path / "h.safetensors"
    write_trained(Trained("head", 256, {"query": units(1, 1)}, own, sizes={"dimensions": 256}), file)
    with pytest.raises(UsageError, match=r"vectors of 256 dimensions; the texts of .*MiniLM.* have 384"):
        with_fusion(strategy="head", head=str(file)).schema()


@pytest.mark.parametrize(
    ("trained", "says"),
    [
        (Trained("position", 6, {"table": units(1, 9, 5)}), r"table is of shape \(9, 5\)"),
        (Trained("position", 6, {"table": units(1, 1, 6)}), "two rows at least"),
        (Trained("position", 6, {"table": np.full((9, 6), np.nan, np.float32)}), "table holds what is no number"),
        (Trained("position", 6, {"rows": units(1, 9, 6)}), "KeyError: 'table'"),
        (Trained("attention", 6, {"query": units(1, 9, 6)}), "ValueError"),
        (
            Trained("adapter", 6, {"down": units(1, 6, 2), "up": units(1, 2, 6), "shift": units(1, 1, 5)[0]}),
            r"shift is of shape \(5,\)",
        ),
        (Trained("head", 6, {"query": units(1, 1, 6)}, sizes={"dimensions": 7}), "its network's are 7"),
    ],
)
def test_tensors_of_other_shapes_than_the_file_says_are_refused(trained: Trained, says: str, tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    write_trained(trained, file)
    with pytest.raises(MissingWeights, match=f"is damaged.*{says}.*train it again"):
        read_trained(file, trained.kind)


def test_the_dimensions_of_positions(tmp_path: Path) -> None:
    table = table_file(tmp_path / "t", units(1, 9, 6))
    sizes = {
        kind: FusionSettings(
            position_kind=kind, position_file=table if kind in ("learned", "hybrid") else ""
        ).position_dimensions
        for kind in ("sinusoidal", "relative", "learned", "hybrid", "none")
    }
    assert sizes == {"sinusoidal": 16, "relative": 8, "learned": 6, "hybrid": 22, "none": 0}
    assert [name for name, _ in with_fusion(position_kind="none").blocks()] == ["frame", "transcript", "change"]
