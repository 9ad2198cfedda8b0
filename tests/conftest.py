"""What every test may ask for: the example videos, a folder of real media, a real Qdrant server.

Tests never touch the network: hubs are switched off before any library of models can be imported.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared: how long one example takes says nothing of the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

ROOT = Path(__file__).parents[1]


def _cores() -> int:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, available // workers)


def _holds_indexes(folder: str) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 8 * 2**30


# An index is mapped into memory and flushed often: on a slow disk the tests wait for that most of their time.
if _holds_indexes("/dev/shm"):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", str(_cores()))
# Beam's worker pool starts bare `python`, and Prism may be one of our own: both must be this environment's.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / ".tools/bin"), os.environ["PATH"]])


@pytest.fixture(scope="module", autouse=True)
def _nothing_left(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[None]:
    """What a module made goes with it, unless a test failed: the indexes of all modules take eight gigabytes."""
    base, failed = tmp_path_factory.getbasetemp(), request.session.testsfailed
    before = set(base.iterdir())
    yield
    if request.session.testsfailed > failed:
        return
    for made in set(base.iterdir()) - before:
        if made.is_symlink():
            made.unlink()
        else:
            shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the six example videos; `queries.tsv` lies beside it."""
    return ROOT / "examples/videos"


@pytest.fixture(scope="session")
def media() -> Path:
    """A folder of real videos of all kinds, with its questions in `queries.tsv`."""
    folder = os.environ.get("REELVEC_TEST_MEDIA")
    if not folder:
        pytest.skip("REELVEC_TEST_MEDIA is not set: it names a folder of real videos")
    return Path(folder)


@pytest.fixture(scope="session")
def qdrant_url() -> str:
    """Where a real Qdrant server answers, e.g. http://localhost:6333."""
    url = os.environ.get("REELVEC_TEST_QDRANT_URL")
    if not url:
        pytest.skip("REELVEC_TEST_QDRANT_URL is not set: it names a running Qdrant server")
    return url
