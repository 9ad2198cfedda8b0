"""Getting weights from a hub and from buckets, finding them again without a network, and locking what was seen."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save

from tests.families.image import save_timm
from tests.hub_server import Hub, hub_server, s3_server
from tests.test_encoders_objects import save_rt_detr
from transforms.encoders import hub as cache
from transforms.encoders import weights
from transforms.encoders.hub import locate
from transforms.encoders.lock import Lock, Locked, LockedFile, apply, lock_path, read_lock, write_lock
from transforms.encoders.names import Name
from transforms.encoders.pull import pull
from transforms.encoders.pull_bucket import Bucket
from transforms.encoders.remote import Remote, growing, wanted
from transforms.errors import DiskFull, MissingWeights, UsageError
from transforms.recipe import load_recipe

ROOT = Path(__file__).parents[1]
TENSORS = save({"weight": np.arange(600_000, dtype=np.float32)})  # 2.4 MB
FILES = {
    "config.json": b'{"model_type": "clap"}',
    "model.safetensors": TENSORS,
    "pytorch_model.bin": b"pickled",
    "onnx/model.onnx": b"graph",
    "onnx/config.json": b"{}",
    "vocab.txt": b"a b c",
    "README.md": b"---\nlicense: mit\n---\n",
    "train.py": b"import os",
}
TAKEN = ["README.md", "config.json", "model.safetensors", "vocab.txt"]
MODEL = "org/tiny"
NAME = f"clap:{MODEL}"
_COMMANDS = """
import typer
from pipelines import cli_encoders
from pipelines.cli import Commands
app = typer.Typer(cls=Commands)
app.add_typer(cli_encoders.weights)
app.command("encoders")(cli_encoders.encoders)
app()
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Machine:
    """A machine with an empty cache, which reaches the hub of this test and no other."""

    hub: Hub
    home: Path

    def run(self, *arguments: str, **environment: str) -> Ran:
        """Its `reelvec` with these arguments."""
        done = subprocess.run(
            [sys.executable, "-c", _COMMANDS, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.environment, **environment},
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def pull(self, *encoders: str, **environment: str) -> Ran:
        named = [word for encoder in encoders for word in ("--encoder", encoder)]
        return self.run("weights", "pull", "--json", *named, **environment)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.home / "hf"),
            "HF_HUB_CACHE": str(self.home / "hf/hub"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "REELVEC_CACHE": str(self.home / "reelvec"),
            "OMP_NUM_THREADS": "1",
        }


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with hub_server() as hub:
        hub.put(MODEL, FILES)
        found = Machine(hub, tmp_path / "home")
        for key, value in found.environment.items():
            if key != "HF_HUB_OFFLINE":
                monkeypatch.setenv(key, value)
        yield found


def recipe_of(folder: Path, encoder: str) -> Path:
    path = folder / "my.toml"
    path.write_text(f'name = "my"\n[audio]\nencoder = "{encoder}"\n')
    return path


def test_a_pull_brings_what_is_needed_and_tells_its_checksums_and_commit(machine: Machine):
    ran = machine.pull(NAME)
    assert ran.code == 0, ran.err
    (told,) = ran.json["encoders"]
    assert [one["file"] for one in told["files"]] == TAKEN
    assert told["revision"] == machine.hub.commit_of(MODEL, "main")
    assert {one["file"]: one["sha256"] for one in told["files"]} == {
        name: hashlib.sha256(FILES[name]).hexdigest() for name in TAKEN
    }
    folder = locate(Name.parse(NAME), MODEL)
    assert sorted(path.name for path in folder.iterdir()) == TAKEN
    assert (folder / "model.safetensors").read_bytes() == TENSORS
    assert "to come" in ran.err
    assert not list(machine.home.rglob("*.part"))


def test_the_hubs_own_client_finds_what_was_pulled(machine: Machine):
    assert machine.pull(NAME).code == 0
    code = f"from huggingface_hub import snapshot_download as s; print(s({MODEL!r}, local_files_only=True))"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(asked.stdout.strip()) == locate(Name.parse(NAME), MODEL)


def test_a_second_pull_downloads_nothing(machine: Machine):
    assert machine.pull(NAME).code == 0
    machine.hub.requests.clear()
    ran = machine.pull(NAME)
    assert ran.code == 0 and ran.json["encoders"][0]["downloaded_bytes"] == 0
    assert [path for _, path, _ in machine.hub.requests if "resolve" in path] == []


def test_a_pull_goes_on_where_it_was_cut_off(machine: Machine):
    large = save({"weight": np.arange(5_000_000, dtype=np.float32)})
    machine.hub.put(MODEL, {**FILES, "model.safetensors": large})
    machine.hub.broken_after["model.safetensors"] = 15_000_000
    broken = machine.pull(NAME)
    assert broken.code == 1
    assert "answered with status 500" in broken.err and "what came so far is kept" in broken.err
    with pytest.raises(MissingWeights, match="reelvec weights pull --encoder clap:org/tiny"):
        locate(Name.parse(NAME), MODEL)

    machine.hub.failing = False
    machine.hub.requests.clear()
    ran = machine.pull(NAME)
    assert ran.code == 0, ran.err
    assert machine.hub.fetched("model.safetensors") == [f"bytes={10 * 2**20}-"]  # the client writes 10 MiB at a time
    assert (locate(Name.parse(NAME), MODEL) / "model.safetensors").read_bytes() == large


def test_bytes_that_are_not_those_listed_are_refused(machine: Machine):
    for file in ("config.json", "model.safetensors"):
        machine.hub.wrong = {file}
        ran = machine.pull(NAME)
        assert ran.code == 2 and f"{file} of {MODEL} came damaged" in ran.err
    machine.hub.wrong = set()
    assert machine.pull(NAME).code == 0


def test_a_damaged_file_is_mended_by_the_next_pull(machine: Machine):
    assert machine.pull(NAME).code == 0
    path = locate(Name.parse(NAME), MODEL) / "model.safetensors"
    path.resolve().write_bytes(TENSORS[:-1] + b"?")
    assert machine.pull(NAME).code == 0
    assert path.read_bytes() == TENSORS


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("clap:org/none", 2, "the hub has no 'org/none'"),
        ("clap:laion/clap-htsat-unfuse", 2, "did you mean clap:laion/clap-htsat-unfused"),
        (f"{NAME}@v9", 2, "org/tiny has no revision 'v9'"),
        ("clap:org/gated", 2, "accept its terms on its page, then set HF_TOKEN"),
        ("clap:org/pickled", 2, "pytorch_model.bin only, which can run code"),
        ("clap:org/empty", 2, r"holds no weights (*.safetensors): README.md"),
        ("clap:..", 2, "no hub id"),
        ("clap:org/evil", 2, "not to be trusted, nothing of it was taken: file='../../evil.json'"),
        ("imagebind:x", 2, "imagebind:x cannot be used, on no machine: the package imagebind of PyPI is an empty"),
        ("passt:x", 2, "needs torchaudio"),
        ("languagebind:org/x", 2, "needs transformers < 5"),
        ("clop:org/tiny", 2, "unknown family of encoders 'clop'; did you mean clap"),
    ],
)
def test_what_cannot_be_pulled_is_said_in_one_sentence(machine: Machine, name: str, code: int, said: str):
    machine.hub.put("org/gated", FILES)
    machine.hub.gated.add("org/gated")
    machine.hub.put("org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    machine.hub.put("org/empty", {"README.md": b"soon"})
    machine.hub.put("org/evil", {**FILES, "../../evil.json": b"{}"})
    ran = machine.pull(name)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_a_token_opens_a_gated_model_and_is_told_to_nobody(machine: Machine):
    machine.hub.gated.add(MODEL)
    ran = machine.pull(NAME, HF_TOKEN="hf_secret")
    assert ran.code == 0, ran.err
    assert "hf_secret" not in ran.out + ran.err


def test_pickled_weights_come_only_when_the_name_says_unsafe(machine: Machine):
    machine.hub.put("org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    ran = machine.pull("clap:org/pickled?unsafe=true")
    assert [one["file"] for one in ran.json["encoders"][0]["files"]] == ["config.json", "pytorch_model.bin"]


def test_without_a_network_a_pull_says_so(machine: Machine):
    off = machine.pull(NAME, HF_HUB_OFFLINE="1")
    assert off.code == 2 and "HF_HUB_OFFLINE is set" in off.err
    nobody = machine.pull(NAME, HF_ENDPOINT="http://127.0.0.1:9")
    assert nobody.code == 1 and "cannot be reached" in nobody.err and "ConnectError" in nobody.err


def test_a_full_disk_is_noticed_before_anything_is_written(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("transforms.encoders.remote.shutil.disk_usage", lambda folder: usage)
    store = fsspec.filesystem("memory")
    store.pipe({f"/full/{name}": content for name, content in FILES.items()})
    with pytest.raises(DiskFull, match=r"no room for the weights.*REELVEC_CACHE"):
        pull(["clap:memory://full"])


def test_weights_that_come_with_packages_need_no_pull(machine: Machine):
    ran = machine.run("weights", "pull", "--recipe", "offline")
    assert ran.code == 0, ran.err
    assert "conse:tf_efficientnet_lite2: nothing to pull, its weights come with packages" in ran.out
    assert machine.hub.requests == []


def test_a_pull_that_names_nothing_is_wrong_usage(machine: Machine):
    ran = machine.run("weights", "pull")
    assert ran.code == 2 and "--recipe NAME" in ran.err


def test_a_recipe_is_locked_and_keeps_its_revision_when_the_hub_moves_on(machine: Machine, tmp_path: Path):
    recipe = recipe_of(tmp_path, NAME)
    first = machine.run("weights", "pull", "--recipe", str(recipe), "--json")
    assert first.code == 0, first.err
    assert first.json["lock"] == str(tmp_path / "my.lock")
    lock = read_lock(lock_path(str(recipe)))
    commit = machine.hub.commit_of(MODEL, "main")
    assert lock is not None and lock.encoders[NAME].revision == commit
    assert apply(NAME, lock) == f"{NAME}@{commit}"
    assert apply(f"{NAME}?precision=bf16", lock) == f"{NAME}@{commit}?precision=bf16"

    newest = machine.hub.put(MODEL, {**FILES, "config.json": b'{"model_type": "clap", "newer": true}'})
    again = machine.run("weights", "pull", "--recipe", str(recipe), "--json")
    assert again.json["encoders"][0]["revision"] == commit
    moved = machine.run("weights", "pull", "--recipe", str(recipe), "--update", "--json")
    assert moved.json["encoders"][0]["revision"] == newest
    changed = read_lock(lock_path(str(recipe)))
    assert changed is not None and changed.encoders[NAME].revision == newest
    assert locate(Name.parse(apply(NAME, lock)), MODEL).name == commit
    assert locate(Name.parse(NAME), MODEL).name == newest


def test_a_recipe_is_locked_whatever_the_order_of_its_options(machine: Machine, tmp_path: Path):
    recipe = recipe_of(tmp_path, f"{NAME}?unsafe=true&precision=bf16")
    ran = machine.run("weights", "pull", "--recipe", str(recipe))
    assert ran.code == 0 and "locked in" in ran.out, ran.err
    (encoder,) = load_recipe(str(recipe)).encoder_names
    assert f"@{machine.hub.commit_of(MODEL, 'main')}?" in encoder


def test_an_empty_lock_is_called_empty(machine: Machine):
    ran = machine.run("weights", "pull", "--recipe", "offline")
    assert "nothing to lock" in ran.out and "locked in" not in ran.out


def test_the_parts_of_an_encoder_are_pulled_and_locked_with_it(machine: Machine, tmp_path: Path):
    def files(save: Any) -> dict[str, bytes]:
        folder = tmp_path / save.__name__
        folder.mkdir()
        saved = Path(save(folder).partition(":")[2].partition("?")[0])
        return {path.relative_to(saved).as_posix(): path.read_bytes() for path in saved.rglob("*") if path.is_file()}

    def save_crops(folder: Path) -> str:
        return save_timm(folder, "test_vit")

    machine.hub.put("org/detector", files(save_rt_detr))
    crops = files(save_crops)
    commit = machine.hub.put("org/crops", crops)
    recipe = tmp_path / "my.toml"
    recipe.write_text('name = "my"\n[objects]\nencoder = "objects:org/detector"\ncrops = "timm:org/crops"\n')
    ran = machine.run("weights", "pull", "--recipe", str(recipe))
    assert ran.code == 0, ran.err
    locked = load_recipe(str(recipe))
    assert Name.parse(locked.objects_encoder).option("crops") == f"timm:org/crops@{commit}"
    before = locked.vector_fingerprints()
    machine.hub.put("org/crops", {**crops, "README.md": b"---\nlicense: mit\n---\n"})
    machine.hub.put("org/crops", {**crops, "model.safetensors": crops["model.safetensors"][:-1] + b"\x01"})
    assert machine.pull("timm:org/crops").code == 0  # the default revision is another one now
    assert load_recipe(str(recipe)).vector_fingerprints() == before


def test_a_lock_pins_both_towers_and_the_texts_of_class_names(machine: Machine):
    locked = Lock({name: Locked(name, "c" * 40, ()) for name in ("dpr:org/passages", "clap:org/words", "dpr:org/ask")})
    dpr = Name.parse(apply("dpr:org/ask?context=org/passages", locked))
    assert (dpr.revision, dpr.option("context"), dpr.option("context_revision")) == (
        "c" * 40,
        "org/passages",
        "c" * 40,
    )
    conse = Name.parse(apply("conse:timm/resnet50?text=clap:org/words", locked))
    assert (conse.revision, conse.option("text")) == ("", f"clap:org/words@{'c' * 40}")
    assert apply("conse:tf_efficientnet_lite2", locked) == "conse:tf_efficientnet_lite2"


def test_pulls_of_one_model_at_once_bring_it_once(machine: Machine):
    large = save({"weight": np.random.default_rng(0).normal(size=2_000_000).astype(np.float32)})
    machine.hub.put("org/large", {**FILES, "model.safetensors": large})
    with ThreadPoolExecutor(3) as pool:
        ran = list(pool.map(lambda _: machine.pull("clap:org/large"), range(3)))
    assert [one.code for one in ran] == [0, 0, 0], [one.err for one in ran]
    assert len(machine.hub.fetched("model.safetensors")) == 1
    assert len(list((machine.home / "hf/hub/models--org--large/blobs").iterdir())) == len(TAKEN)  # no lock, no part


def test_a_locked_pull_refuses_other_bytes_under_the_same_commit(machine: Machine, tmp_path: Path):
    recipe = recipe_of(tmp_path, NAME)
    path = lock_path(str(recipe))
    commit = machine.hub.commit_of(MODEL, "main")
    assert commit is not None
    write_lock(path, {NAME: Locked(MODEL, commit, (LockedFile("model.safetensors", len(TENSORS), "0" * 64),))})
    before = path.read_text()
    ran = machine.run("weights", "pull", "--recipe", str(recipe))
    assert ran.code == 2
    assert f"SHA-256 {hashlib.sha256(TENSORS).hexdigest()}, wanted {'0' * 64}" in ran.err
    assert "--update" in ran.err and path.read_text() == before


def test_files_that_are_not_the_locked_ones_are_refused(machine: Machine):
    assert machine.pull(NAME).code == 0
    folder = locate(Name.parse(NAME), MODEL)
    right = LockedFile("config.json", 22, hashlib.sha256(FILES["config.json"]).hexdigest())
    apply(NAME, Lock({NAME: Locked(MODEL, folder.name, (right,))}))
    (folder / "config.json").resolve().write_bytes(b'{"model_type": "else"}')
    with pytest.raises(MissingWeights, match=rf"config\.json has SHA-256 [0-9a-f]+, wanted {right.sha256}"):
        apply(NAME, Lock({NAME: Locked(MODEL, folder.name, (right,))}))
    with pytest.raises(MissingWeights, match=r"lacks other\.json"):
        apply(NAME, Lock({NAME: Locked(MODEL, folder.name, (LockedFile("other.json", 1, "0" * 64),))}))


def test_a_lock_leaves_alone_what_it_does_not_hold():
    lock = Lock({NAME: Locked(MODEL, "c" * 40, ())})
    assert apply("bm25:english", lock) == "bm25:english"
    assert apply(NAME, None) == NAME


def test_a_pull_mends_what_a_recipe_refuses_to_load(machine: Machine, tmp_path: Path):
    recipe = recipe_of(tmp_path, NAME)
    assert machine.run("weights", "pull", "--recipe", str(recipe)).code == 0
    path = locate(Name.parse(NAME), MODEL) / "config.json"
    path.resolve().write_bytes(FILES["config.json"][:-1] + b" ")
    with pytest.raises(MissingWeights, match="not the locked one"):
        load_recipe(str(recipe))
    assert machine.run("weights", "pull", "--recipe", str(recipe)).code == 0
    (encoder,) = load_recipe(str(recipe)).encoder_names
    assert encoder == f"{NAME}@{machine.hub.commit_of(MODEL, 'main')}"


def test_a_lock_is_read_as_it_was_written_and_a_broken_one_is_refused(tmp_path: Path):
    path = tmp_path / "my.lock"
    assert read_lock(path) is None
    locked = Locked(MODEL, "c" * 40, (LockedFile("config.json", 2, "0" * 64),))
    write_lock(path, {f"{NAME}?precision=bf16": locked})
    assert read_lock(path) == Lock({NAME: locked})
    for broken in ("", "[]", '{"version": 9, "encoders": {}}', '{"version": 1, "encoders": {"clap:a/b": {}}}'):
        path.write_text(broken)
        with pytest.raises(UsageError, match=r"the lock cannot be read: .*my\.lock"):
            read_lock(path)


def test_a_packaged_recipes_lock_lies_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REELVEC_CACHE", "/caches/reelvec")
    assert lock_path("standard") == Path("/caches/reelvec/locks/standard.lock")
    assert lock_path("recipes/my.toml") == Path("recipes/my.lock")


def snapshot(folder: Path, repository: str, commit: str, files: dict[str, bytes], *, ref: str = "") -> Path:
    """A revision in the hub's cache, as its client lays it out."""
    base = folder / f"models--{repository.replace('/', '--')}"
    place = base / "snapshots" / commit
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    if ref:
        (base / "refs").mkdir(exist_ok=True)
        (base / "refs" / ref).write_text(commit)
    return place


def test_a_model_is_found_by_default_branch_by_tag_by_commit_and_by_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    old = snapshot(tmp_path, MODEL, "a" * 40, FILES_FLAT, ref="v1")
    new = snapshot(tmp_path, MODEL, "b" * 40, FILES_FLAT, ref="main")
    assert locate(Name.parse(NAME), MODEL) == new
    for revision in ("v1", "a" * 40, "aaaaaaa"):
        assert locate(Name.parse(f"{NAME}@{revision}"), MODEL) == old
    for absent in ("v2", "c" * 40, "aaa"):
        with pytest.raises(MissingWeights, match=rf"pull --encoder {NAME}@{absent}"):
            locate(Name.parse(f"{NAME}@{absent}"), MODEL)
    with pytest.raises(UsageError, match="no revision"):
        locate(Name.parse(f"{NAME}@../../etc"), MODEL)


FILES_FLAT = {"config.json": b"{}", "model.safetensors": TENSORS}


def test_a_single_file_of_a_repository_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = snapshot(tmp_path, "org/words", "a" * 40, {"glove.txt": b"a 1 2"}, ref="main")
    assert locate(Name.parse("word-vectors:org/words/glove.txt"), "org/words/glove.txt") == folder / "glove.txt"
    with pytest.raises(MissingWeights, match=r"org/words/other\.txt is missing"):
        locate(Name.parse("word-vectors:org/words/other.txt"), "org/words/other.txt")


def test_a_model_whose_parts_did_not_all_come_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    index = json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}).encode()
    files = {"model.safetensors.index.json": index, "model-1-of-2.safetensors": TENSORS}
    snapshot(tmp_path, MODEL, "a" * 40, files, ref="main")
    with pytest.raises(MissingWeights, match=r"model-2-of-2\.safetensors of org/tiny is missing"):
        locate(Name.parse(NAME), MODEL)


def test_the_hubs_cache_is_where_its_client_has_it(monkeypatch):
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", ""):
        with monkeypatch.context() as patch:
            for each in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
                patch.delenv(each, raising=False)
            if variable:
                patch.setenv(variable, "/caches/$USERLESS/one")
            asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            assert str(cache.hub_cache()) == asked.stdout.strip()


@pytest.mark.parametrize(
    ("name", "files", "taken"),
    [
        ("timm:org/a", ["model.safetensors", "pytorch_model.bin", "config.json"], ["config.json", "model.safetensors"]),
        (
            "transformers:org/a",
            ["open_clip_model.safetensors", "model.safetensors", "model.fp16.safetensors"],
            ["model.safetensors"],
        ),
        ("open_clip:org/a", ["open_clip_model.safetensors", "model.safetensors"], ["open_clip_model.safetensors"]),
        (
            "faster-whisper:org/a",
            ["model.bin", "config.json", "vocabulary.txt"],
            ["config.json", "model.bin", "vocabulary.txt"],
        ),
        (
            "sentence-transformers:org/a",
            ["model.safetensors", "2_Dense/model.safetensors", "1_Pooling/config.json", "openvino/model.xml"],
            ["1_Pooling/config.json", "2_Dense/model.safetensors", "model.safetensors"],
        ),
        ("word-vectors:org/a?file=b.txt", ["a.txt", "b.txt", "README.md"], ["README.md", "b.txt"]),
        ("word-vectors:org/a?file=b.bin", ["a.bin", "b.bin", "README.md"], ["README.md", "b.bin"]),
        (
            "qwen3-vl:org/a",
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "consolidated.safetensors"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
    ],
)
def test_of_several_forms_of_the_weights_only_the_needed_one_is_taken(name, files, taken):
    assert wanted(files, Name.parse(name)) == taken


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("REELVEC_CACHE", str(tmp_path / "reelvec"))
    store = fsspec.filesystem("memory")
    store.pipe({f"/models/tiny/{name}": content for name, content in FILES.items()})
    yield store
    store.rm("/models", recursive=True)


BUCKET = "clap:memory://models/tiny"


class Heard:
    """Adds up what a pull says."""

    def __init__(self) -> None:
        self.total = self.came = 0

    def started(self, name: str, total_bytes: int) -> None:
        self.total += total_bytes

    def advanced(self, count_bytes: int) -> None:
        self.came += count_bytes

    def finished(self, name: str) -> None: ...


def test_a_bucket_is_copied_once_and_again_where_it_changed(bucket: Any, tmp_path: Path):
    with pytest.raises(MissingWeights, match="reelvec weights pull --encoder"):
        locate(Name.parse(BUCKET), BUCKET)
    heard = Heard()
    (pulled,) = pull([BUCKET], heard)
    assert heard.total == heard.came == sum(len(FILES[name]) for name in TAKEN) == pulled.downloaded_bytes
    folder = locate(Name.parse(BUCKET), BUCKET)
    assert folder == tmp_path / "reelvec/buckets/memory/models/tiny"
    assert sorted(path.name for path in folder.iterdir()) == TAKEN
    assert pulled.locked is not None and pulled.locked.revision == ""
    assert apply(BUCKET, Lock({BUCKET: pulled.locked})) == BUCKET

    assert pull([BUCKET])[0].downloaded_bytes == 0
    bucket.pipe("/models/tiny/config.json", b'{"model_type": "CLAP"}')
    assert pull([BUCKET])[0].downloaded_bytes == 22
    assert (folder / "config.json").read_bytes() == b'{"model_type": "CLAP"}'
    with pytest.raises(MissingWeights, match="not the locked one"):
        apply(BUCKET, Lock({BUCKET: pulled.locked}))
    with pytest.raises(MissingWeights, match="not the locked one"):
        pull([BUCKET], lock=Lock({BUCKET: pulled.locked}))


def test_a_bucket_goes_on_where_it_was_cut_off(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("transforms.encoders.pull_bucket._CHUNK_BYTES", 1_000_000)
    come: list[int] = []

    class Cut(Heard):
        def advanced(self, count_bytes: int) -> None:
            come.append(count_bytes)
            if sum(come) > 1_500_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull([BUCKET], Cut())
    (part,) = (tmp_path / "reelvec").rglob("*.part")
    assert part.stat().st_size == 2_000_000
    with pytest.raises(MissingWeights, match="are not here"):
        locate(Name.parse(BUCKET), BUCKET)
    reached: list[int] = []
    plain = bucket.open

    def watched(*arguments: Any, **settings: Any) -> Any:
        file = plain(*arguments, **settings)
        seek = file.seek

        def noted(at: int, *how: int) -> Any:
            reached.append(at)
            return seek(at, *how)

        file.seek = noted
        return file

    monkeypatch.setattr(bucket, "open", watched)
    pull([BUCKET])
    assert 2_000_000 in reached
    assert (locate(Name.parse(BUCKET), BUCKET) / "model.safetensors").read_bytes() == TENSORS


def test_a_damaged_beginning_of_a_buckets_file_is_not_gone_on_with(bucket: Any, tmp_path: Path):
    folder = tmp_path / "reelvec/buckets/memory/models/tiny"
    (one,) = (file for file in Bucket.at("memory://models/tiny").files if file.file == "model.safetensors")
    part = growing(folder / one.file, one)
    for noted in ("", f"7 {hashlib.sha256(b'SAFETEN').hexdigest()}", "seven"):
        part.write_bytes(b"GARBAGE")
        part.with_name(f"{part.name}.sha256").write_text(noted)
        pull([BUCKET])
        assert (folder / one.file).read_bytes() == TENSORS
        (folder / one.file).unlink()
        part.write_bytes(b"")


@pytest.mark.parametrize("damage", [TENSORS[:100], TENSORS[:-1] + b"\xff"])
def test_a_damaged_copy_of_a_bucket_is_mended_by_the_next_pull(bucket: Any, damage: bytes):
    pull([BUCKET])
    path = locate(Name.parse(BUCKET), BUCKET) / "model.safetensors"
    path.write_bytes(damage)
    assert pull([BUCKET])[0].downloaded_bytes == len(TENSORS)
    assert path.read_bytes() == TENSORS


def test_what_a_bucket_no_longer_has_is_removed_from_its_copy(bucket: Any):
    bucket.mv("/models/tiny/model.safetensors", "/models/tiny/model-00001-of-00001.safetensors")
    pull([BUCKET])
    folder = locate(Name.parse(BUCKET), BUCKET)
    bucket.mv("/models/tiny/model-00001-of-00001.safetensors", "/models/tiny/model.safetensors")
    pull([BUCKET])
    assert sorted(path.name for path in folder.iterdir()) == TAKEN


def test_names_that_share_a_bucket_keep_each_others_files(bucket: Any):
    other = f"{BUCKET}?unsafe=true&file=pytorch_model.bin"
    pull([BUCKET, other])
    assert [one.downloaded_bytes for one in pull([BUCKET, other])] == [0, 0]


def test_a_single_file_of_a_bucket_is_copied(bucket: Any, tmp_path: Path):
    bucket.pipe("/models/glove.txt", b"a 1 2")
    name = "word-vectors:memory://models/glove.txt"
    (pulled,) = pull([name])
    assert locate(Name.parse(name), name).read_bytes() == b"a 1 2"
    assert pulled.locked is not None and [one.file for one in pulled.locked.files] == ["glove.txt"]
    assert apply(name, Lock({name: pulled.locked})) == name


def test_a_bucket_of_s3_is_copied_through_its_own_protocol(machine: Machine):
    pytest.importorskip("s3fs")
    objects = {f"models/tiny/{name}": content for name, content in FILES.items()}
    with s3_server(objects) as url:
        account = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden"}
        ran = machine.pull("clap:s3://models/tiny", **account)
        assert ran.code == 0, ran.err
        again = machine.pull("clap:s3://models/tiny", **account)
        assert again.json["encoders"][0]["downloaded_bytes"] == 0
        none = machine.pull("clap:s3://models/none", **account)
        assert none.code == 2 and "there is nothing at s3://models/none" in none.err
        assert "hidden" not in ran.out + ran.err + none.err
    folder = locate(Name.parse("clap:s3://models/tiny"), "")
    assert sorted(path.name for path in folder.iterdir()) == TAKEN
    assert (folder / "model.safetensors").read_bytes() == TENSORS


@pytest.mark.parametrize(
    ("file", "version"), [("../x", "0" * 40), ("a//b", "0" * 40), ("/etc/x", "0" * 40), ("a", "../x"), ("a", "")]
)
def test_a_server_cannot_name_a_place_outside_of_the_model(file: str, version: str):
    with pytest.raises(MissingWeights, match="not to be trusted"):
        Remote(file, 1, version)


def test_an_empty_bucket_and_an_unknown_store_are_said(bucket: Any):
    with pytest.raises(UsageError, match="nothing at memory://models/none"):
        pull(["clap:memory://models/none"])
    with pytest.raises(UsageError, match="gs://BUCKET/PATH"):
        locate(Name.parse("clap:gs://bucket/../../etc"), "")


def test_the_checksum_of_a_large_file_is_kept_over_runs_until_the_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("REELVEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "_REMEMBERED_BYTES", 10)
    read: list[Path] = []
    plain = weights._read_sha256

    def noted(path: Path) -> str:
        read.append(path)
        return plain(path)

    monkeypatch.setattr(weights, "_read_sha256", noted)
    path = tmp_path / "large.safetensors"
    path.write_bytes(TENSORS)
    for _ in range(2):
        assert weights.sha256_of(path) == hashlib.sha256(TENSORS).hexdigest()
        weights._sha256.cache_clear()  # another run
    assert len(read) == 1
    about = path.stat()
    path.write_bytes(TENSORS[:-1] + b"?")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert weights.sha256_of(path) == hashlib.sha256(TENSORS[:-1] + b"?").hexdigest()
