"""`reelvec encoders`: every family, and the truth about this machine."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from pipelines.cli import Commands
from pipelines.cli_encoders import encoders
from tests.families.sound import save_clap
from transforms.encoders import family as rows
from transforms.encoders import weights
from transforms.encoders.catalog import card, packaged
from transforms.encoders.family import families
from transforms.encoders.listing import Listed, catalogue, state
from transforms.encoders.weights import State
from transforms.errors import UsageError

ROOT = Path(__file__).parents[1]
KEYS = {"family", "model", "modality", "dimensions", "text_queries", "state", "cure", "licence"}
MORE = {"name", "accepts", "space", "revision", "real_weights", "about"}


@pytest.fixture(autouse=True)
def nothing_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty hub cache, and no key of a service."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for one in families():
        if one.key:
            monkeypatch.delenv(one.key, raising=False)


def by_name(**asked: str) -> dict[str | None, Listed]:
    return {row.name: row for row in catalogue(**asked)}


def test_every_family_and_every_known_model_has_a_row():
    listed = catalogue()
    assert {row.family for row in listed} == {one.name for one in families()}
    assert {f"{one.name}:{model}" for one in families() for model in one.models} <= {row.name for row in listed}
    assert len({(row.family, row.model) for row in listed}) == len(listed)


def test_a_row_has_a_state_and_a_cure_exactly_where_it_cannot_be_used():
    for row in catalogue():
        assert row.state in get_args(State)
        assert row.cure or row.state == "available", row


def test_packaged_encoders_are_available_and_were_run_on_their_weights():
    listed = by_name()
    for each in packaged():
        row = listed[each.name]
        assert (row.state, row.cure, row.licence) == ("available", "", each.licence)
        assert row.real_weights and row.dimensions == (each.dimensions or None)
    assert not listed["sentence-transformers:BAAI/bge-m3"].real_weights


def test_weights_that_are_not_here_have_no_dimensions_and_the_pull_as_their_cure():
    row = by_name()["clap:laion/clap-htsat-unfused"]
    assert (row.state, row.dimensions, row.space, row.licence) == ("missing-weights", None, None, None)
    assert row.cure == "reelvec weights pull --encoder clap:laion/clap-htsat-unfused"


def test_a_service_wants_its_key(monkeypatch: pytest.MonkeyPatch):
    for one in families():
        if one.weights == "service" and not one.missing_packages:
            for row in catalogue(family_name=one.name):
                assert (row.state, row.cure) == ("missing-key", f"export {one.key}=...")
            monkeypatch.setenv(one.key, "secret")
            listed = catalogue(family_name=one.name)
            assert {row.state for row in listed} == {"available"}
            assert "secret" not in json.dumps([row.as_json() for row in listed])


def test_a_name_with_a_variable_of_its_own_wants_that_key_and_no_other(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    nvidia = "openai:nv-embed?endpoint=https://integrate.api.nvidia.com/v1&key_variable=NVIDIA_API_KEY&dimensions=768"
    assert state("openai:nomic?endpoint=http://localhost:11434/v1&key_variable=none&dimensions=768") == (
        "available",
        "",
    )
    monkeypatch.setenv("NVIDIA_API_KEY", "secret")
    assert state(nvidia) == ("available", "")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.delenv("NVIDIA_API_KEY")
    assert state(nvidia) == ("missing-key", "export NVIDIA_API_KEY=...")


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    absent = replace(rows.family("clap"), name="absent", packages=("no_such_package",), extra="sound")
    monkeypatch.setitem(rows._FAMILIES, "absent", absent)
    (row,) = catalogue(family_name="absent")
    assert (row.state, row.cure) == ("missing-package", "pip install 'reelvec[sound]' (no_such_package)")


def test_a_model_in_the_hubs_cache_is_listed_where_a_family_can_describe_it(tmp_path: Path):
    base = tmp_path / "hub/models--org--my-clap"
    folder = base / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    save_clap(folder)
    (base / "refs").mkdir()
    (base / "refs/main").write_text("a" * 40)
    row = by_name(family_name="clap")["clap:org/my-clap"]
    described = card("clap:org/my-clap")
    assert (row.state, row.dimensions, row.revision) == ("available", 32, "a" * 40)
    assert (row.space, row.accepts, row.text_queries) == (described.space, ("text", "sound"), True)
    assert not row.real_weights
    assert "org/my-clap" not in {row.model for row in catalogue(family_name="timm")}

    shutil.rmtree(folder)
    assert "clap:org/my-clap" not in by_name(family_name="clap")


def test_a_listing_reads_no_weights_of_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = tmp_path / "hub/models--org--linked-clap"
    folder = base / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    save_clap(folder)
    (base / "refs").mkdir()
    (base / "refs/main").write_text("a" * 40)
    (base / "blobs").mkdir()
    blob = base / "blobs" / ("b" * 64)
    (folder / "model.safetensors").rename(blob)
    (folder / "model.safetensors").symlink_to(blob)
    read: list[Path] = []
    plain = weights._read_sha256

    def noted(path: Path) -> str:
        read.append(path)
        return plain(path)

    monkeypatch.setattr(weights, "_read_sha256", noted)
    weights._sha256.cache_clear()
    assert "clap:org/linked-clap" in by_name(family_name="clap")
    assert blob not in read
    assert card("clap:org/linked-clap").weights_of("model.safetensors").sha256 != "b" * 64
    assert blob in read


def test_a_state_is_told_for_any_name(tmp_path: Path):
    assert state("bm25:english") == ("available", "")
    assert state("clap:org/a?precision=bf16") == (
        "missing-weights",
        "reelvec weights pull --encoder 'clap:org/a?precision=bf16'",
    )
    with pytest.raises(UsageError, match="did you mean clap"):
        state("klap:org/a")


def test_a_listing_imports_no_model_library_and_is_quick(tmp_path: Path):
    heavy = ("torch", "transformers", "sentence_transformers", "timm", "open_clip", "apache_beam", "huggingface_hub")
    code = f"""
import sys, time
started = time.monotonic()
from transforms.encoders.listing import catalogue
assert catalogue()
print(time.monotonic() - started, [name for name in {heavy} if name in sys.modules])
"""
    environment = {**os.environ, "REELVEC_CACHE": str(tmp_path)}
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    seconds, _, imported = done.stdout.strip().partition(" ")
    assert imported == "[]"
    assert float(seconds) < 10 and time.monotonic() - started < 20  # a second; the rest is for a busy machine


def run(*arguments: str) -> Any:
    import typer

    app = typer.Typer(cls=Commands)
    app.command("encoders")(encoders)
    app.command("other")(lambda: None)  # with one command alone typer leaves its name out
    return CliRunner().invoke(app, ["encoders", *arguments])


def test_the_command_prints_a_list_of_the_same_keys():
    ran = run("--json")
    assert ran.exit_code == 0, ran.output
    listed = json.loads(ran.stdout)
    assert {frozenset(row) for row in listed} == {frozenset(KEYS | MORE)}
    assert [row["name"] for row in listed] == [row.name for row in catalogue()]


def test_the_command_prints_a_line_a_model_and_chooses():
    lines = run().stdout.splitlines()
    assert lines[0].split() == "family model modality dimensions text queries state cure licence".split()
    assert len(lines) == len(catalogue()) + 2
    assert f"of {len(catalogue())} can be used here" in lines[-1]
    chosen = json.loads(run("--json", "--family", "bm25").stdout)
    assert {row["family"] for row in chosen} == {"bm25"}
    motion = json.loads(run("--json", "--modality", "motion").stdout)
    assert {row["modality"] for row in motion} == {"motion"}


def test_an_unknown_family_or_modality_is_refused_with_what_there_is():
    assert "did you mean clap" in run("--family", "klap").stderr
    assert "there are: text, image, sound" in run("--modality", "smell").stderr
