"""Names and cards: what a name says, what is refused, and what a fingerprint depends on."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families.sound import save_clap
from transforms.encoders.catalog import card, known_names
from transforms.encoders.families.conse import ConseNetwork
from transforms.encoders.family import Family, families, family
from transforms.encoders.names import Name
from transforms.encoders.reduce import fit_components, save_components
from transforms.encoders.registry import loaded
from transforms.errors import MissingPackage, MissingWeights, UsageError

MINILM = "sentence-transformers:all-MiniLM-L6-v2"
FRAMES = "conse:tf_efficientnet_lite2"


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clap")
    save_clap(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "family_", "model", "revision", "options"),
    [
        ("timm:resnet50.a1_in1k", "timm", "resnet50.a1_in1k", "", {}),
        ("clap:org/a@v2", "clap", "org/a", "v2", {}),
        ("open_clip:ViT-B-32/laion2b?dimensions=64", "open_clip", "ViT-B-32/laion2b", "", {"dimensions": "64"}),
        ("a:b@c?x=1&y=http://h:1/v1?k=v", "a", "b", "c", {"x": "1", "y": "http://h:1/v1?k=v"}),
        ("a:./my@folder", "a", "./my@folder", "", {}),
        ("a:/abs/folder?precision=int8", "a", "/abs/folder", "", {"precision": "int8"}),
        ("a:gs://bucket/a@b/c", "a", "gs://bucket/a@b/c", "", {}),
        ("a:b?query_prompt=query: ", "a", "b", "", {"query_prompt": "query: "}),
        ("a:b?title=fish %26 chips, 100%25", "a", "b", "", {"title": "fish & chips, 100%"}),
    ],
)
def test_a_name_says_family_model_revision_and_options(text, family_, model, revision, options):
    name = Name.parse(text)
    assert (name.family, name.model, name.revision, dict(name.options)) == (family_, model, revision, options)
    assert Name.parse(str(name)) == name
    assert str(name) == text


def test_the_order_of_options_makes_no_other_name():
    assert Name.parse("a:b?y=2&x=1") == Name.parse("a:b?x=1&y=2")


def test_a_name_knows_where_its_model_lies():
    assert [Name.parse(f"a:{model}").is_local for model in ("/b", "./b", "../b", "~/b", "b/c", "s3://b/c")] == [
        *[True] * 4,
        *[False] * 2,
    ]
    assert Name.parse("a:s3://b/c").is_bucket


@pytest.mark.parametrize("text", ["", "clap", "clap:", ":model", "clap:a?dimensions"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UsageError, match=r"family:model|key=value"):
        Name.parse(text)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda name: name.number("n", 1), "a whole number above zero: n='-3'"),
        (lambda name: name.flag("n"), "true or false: n='-3'"),
        (lambda name: name.choice("n", ("mean", "max")), "one of mean, max: n='-3'"),
        (lambda name: name.check_options("pooling"), "has no option 'n'; it has pooling, dimensions"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_what_could(ask, said):
    with pytest.raises(UsageError, match=said):
        ask(Name.parse("a:b?n=-3"))


def test_options_have_defaults_and_are_read():
    name = Name.parse("a:b?n=3&flag=true&pooling=max")
    assert (name.number("n", 1), name.number("m", 7), name.flag("flag"), name.flag("other")) == (3, 7, True, False)
    assert name.choice("pooling", ("mean", "max")) == "max" and name.choice("mode", ("mean", "max")) == "mean"
    assert str(name.with_options({"n": "4"})) == "a:b?flag=true&n=4&pooling=max"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("klap:org/a", UsageError, "unknown family of encoders 'klap'; did you mean clap"),
        ("zzzzzz:org/a", UsageError, "there are: sentence-transformers, "),
        ("bm25:englsh", UsageError, "unknown model 'englsh' of bm25; did you mean bm25:english"),
        ("clap:laion/clap-htsat-unfusd", MissingWeights, "did you mean clap:laion/clap-htsat-unfused"),
        ("clap:org/a", MissingWeights, "get them with: reelvec weights pull --encoder clap:org/a$"),
        ("clap:org/a?precision=bf16", MissingWeights, r"--encoder 'clap:org/a\?precision=bf16'"),
        ("clap:./nowhere", MissingWeights, "there is no folder /.*/nowhere of weights"),
    ],
)
def test_a_name_that_cannot_be_described_is_told_with_the_nearest_or_the_cure(name, error, said, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(error, match=said):
        card(name)


def test_a_missing_package_is_told_with_the_extra_that_installs_it(monkeypatch):
    absent = Family("absent", "", "image", "clap", ("google.no_such_part", "no_such_package"), extra="sound")
    assert absent.missing_packages == ("google.no_such_part", "no_such_package")
    monkeypatch.setitem(__import__("transforms.encoders.family", fromlist=["_FAMILIES"])._FAMILIES, "absent", absent)
    with pytest.raises(MissingPackage, match=r"no_such_package; install it with: pip install 'reelvec\[sound\]'"):
        card("absent:model")


@pytest.mark.parametrize("one", families(), ids=lambda one: one.name)
def test_every_row_of_the_families_is_whole(one: Family):
    assert family(one.name) is one
    assert one.about and not one.about.endswith(".")
    assert one.key.isupper() == (one.weights == "service")
    assert all(f"{one.name}:{model}" in known_names() for model in one.models)
    assert not [model for model in one.models if str(Name.parse(f"{one.name}:{model}")) != f"{one.name}:{model}"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("dimensions=4096", "gives 384 dimensions, not 4096"),
        ("dimensions=128", r"does not say that its vectors may be cut to 128 of 384 dimensions \(Matryoshka\)"),
        ("dimensions=0", "a whole number above zero"),
        ("dimensions=", "a whole number above zero"),
        ("pca=", "the components cannot be read"),
        ("precision=bf16&precision=fp32", "an option of an encoder stands once: option='precision'"),
        ("dimensions=12.5", "a whole number above zero"),
        ("dimensions=128&matryoshka=maybe", "true or false"),
        ("precision=fp8", "one of fp32, bf16, fp16, int8"),
        ("pca=./absent.safetensors", r"the components cannot be read: .*absent\.safetensors.*; fit them again"),
        ("poolng=max", "has no option 'poolng'"),
    ],
)
def test_options_that_a_model_cannot_serve_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        card(f"{MINILM}?{options}")


def test_the_packaged_encoder_of_frames_takes_the_options_of_its_family():
    plain, few = card(FRAMES), card(f"{FRAMES}?top_k=10&temperature=1.5")
    assert (few.setting("top_k"), few.setting("temperature")) == (10, 1.5)
    assert few.fingerprint != plain.fingerprint == card(f"{FRAMES}?top_k=50").fingerprint
    for options, said in (("top_k=1001", "1000 at most"), ("temperature=0", "above zero"), ("text=a:b", "no option")):
        with pytest.raises(UsageError, match=said):
            card(f"{FRAMES}?{options}")
    found = loaded(f"{FRAMES}?top_k=10&temperature=1.5", device="cpu").model.network
    assert isinstance(found, ConseNetwork) and (found.top_k, found.temperature) == (10, 1.5)


def test_smaller_vectors_are_a_space_of_their_own(tmp_path: Path):
    whole = card(MINILM)
    half = card(f"{MINILM}?dimensions=192&matryoshka=true")
    save_components(
        fit_components(np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32), 16), tmp_path / "c"
    )
    projected = card(f"{MINILM}?pca={tmp_path / 'c'}")
    smaller = card(f"{MINILM}?pca={tmp_path / 'c'}&dimensions=8")
    assert [one.dimensions for one in (whole, half, projected, smaller)] == [384, 192, 16, 8]
    assert len({one.space for one in (whole, half, projected, smaller)}) == 4
    assert len({one.fingerprint for one in (whole, half, projected, smaller)}) == 4


def test_a_precision_decides_vectors_and_their_full_size_does_not():
    prints = {card(f"{MINILM}?precision={one}").fingerprint for one in ("fp32", "bf16", "fp16", "int8")}
    assert len(prints) == 4 and card(MINILM).fingerprint in prints


def test_a_fingerprint_depends_on_the_files_and_not_on_where_they_lie(clap: Path, tmp_path, monkeypatch):
    here = card(f"clap:{clap}")
    copied = shutil.copytree(clap, tmp_path / "elsewhere")
    base = tmp_path / "hub/models--org--tiny"
    shutil.copytree(clap, base / "snapshots" / ("a" * 40))
    (base / "refs").mkdir()
    (base / "refs/main").write_text("a" * 40)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    found = card("clap:org/tiny")
    assert found.revision == "a" * 40
    others = (card(f"clap:{copied}"), card("clap:./elsewhere"), found, card(f"clap:org/tiny@{'a' * 40}"))
    for other in others:
        assert (other.fingerprint, other.space, other.dimensions) == (here.fingerprint, here.space, here.dimensions)

    (copied / "preprocessor_config.json").write_text((copied / "preprocessor_config.json").read_text() + "\n")
    changed = card(f"clap:{copied}?precision=fp32")
    assert changed.fingerprint != here.fingerprint and changed.space != here.space


def _damage(folder: Path, how: str) -> Any:
    path = folder / "model.safetensors"
    if how == "pickled":
        return path.rename(folder / "pytorch_model.bin")
    if how == "cut":
        return path.write_bytes(path.read_bytes()[:-10])
    if how == "garbage":
        return path.write_bytes(b"\xff" * 1000)
    if how == "absent":
        return path.unlink()
    return (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("pickled", r"pytorch_model\.bin only, which can run code.*unsafe=true"),
        ("cut", "the weights are damaged"),
        ("garbage", "the weights are damaged"),
        ("absent", "no weights"),
        ("config", r"config\.json cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_refused_before_anything_is(clap: Path, tmp_path, how, said):
    folder = shutil.copytree(clap, tmp_path / "model")
    _damage(folder, how)
    with pytest.raises(MissingWeights, match=said):
        card(f"clap:{folder}")
