"""What is shipped, what starting up costs, and what no file may say."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("reelvec", "pipelines", "transforms")
MODELS = ("torch", "transformers", "sentence_transformers", "timm", "faster_whisper", "apache_beam.ml")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built from, and of tests that must stay out of it."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "constraints.txt", "MANIFEST.in", "LICENSE", "README.md"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy)
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def build(kind: str, source: Path, target: Path) -> Path:
    """Runs setuptools' hook `build_<kind>`; the path of the archive."""
    hook = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", hook], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_a_wheel_holds_the_three_packages_and_their_data(source: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", source, tmp_path)) as wheel:
        names = set(wheel.namelist())
        info = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = wheel.read(info).decode()
    assert {name.split("/")[0] for name in names} == {*PACKAGES, "reelvec-0.1.0.dist-info"}
    expected = {str(path.relative_to(ROOT)) for path in python_files(*PACKAGES)}
    recipes = {str(path.relative_to(ROOT)) for path in (ROOT / "transforms/recipes").glob("*.toml")}
    weights = {str(path.relative_to(ROOT)) for path in (ROOT / "transforms/encoders/data").iterdir()}
    assert recipes and weights
    assert expected | recipes | weights | {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {"pipelines/generic_questions.txt", "pipelines/generic_sounds.txt"} <= set(names)
    assert "Requires-Python: >=3.11" in metadata
    assert {"offline", "server", "dev"} <= set(re.findall(r"^Provides-Extra: (\S+)", metadata, re.MULTILINE))


def test_a_source_archive_leaves_the_tests_out(source: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", source, tmp_path)) as archive:
        inside = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {*PACKAGES, "setup.py", "LICENSE", "constraints.txt"} <= inside
    assert not {"tests", "benchmarks", "deploy", "examples", "training"} & inside


@pytest.mark.parametrize(
    "module", ["pipelines.cli", "pipelines.settings", "transforms.source", "transforms.plan", "transforms.recipe"]
)
def test_starting_up_imports_no_library_of_models(module: str) -> None:
    assert loaded_after(f"import {module}") == []


def test_help_imports_no_library_of_models() -> None:
    help_page = "import sys; sys.argv = ['reelvec', '--help']\nfrom pipelines.cli import main\ntry:\n    main()\n"
    assert loaded_after(help_page + "except SystemExit as end:\n    assert not end.code, end.code") == []


def loaded_after(code: str) -> list[str]:
    """Which of MODELS a fresh interpreter holds after running the code."""
    code += f"\nimport sys; print('loaded:', *(name for name in {MODELS!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("loaded:")[2].split()


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks", "examples", "tests", "training"])
def test_every_module_says_what_it_is(folder: str) -> None:
    silent = [str(path) for path in python_files(folder) if not ast.get_docstring(ast.parse(path.read_bytes()))]
    assert silent == []


def test_no_file_names_a_place_of_one_machine() -> None:
    beside = r"\.\.(/|\\)shared"
    places = re.compile("|".join([beside, "/work/(main|shared)", "/ro{2}t/", r"/Users/\w", r"/tmp/\w+/\w"]))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("this is no git checkout, so there is no list of its files")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name and name != ".ci/run"]
    assert len(files) > 20
    named = [f"{path.relative_to(ROOT)}: {found[0]}" for path in files if (found := places.search(text_of(path)))]
    assert named == []


def text_of(path: Path) -> str:
    """What the file says; nothing where it is not text or is gone."""
    try:
        return path.read_text()
    except (UnicodeDecodeError, FileNotFoundError):
        return ""
