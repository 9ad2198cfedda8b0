"""The same pipeline out of process: Prism as a job server, workers in processes of their own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Where

STARTUP_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail(f"{process.args[0]!r} ended with {process.returncode} before it listened")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"{process.args[0]!r} did not listen on port {port} within {STARTUP_SECONDS} s")


@pytest.fixture
def engine(tmp_path):
    """The options that send a pipeline to a Prism job server with a worker pool beside it."""
    prism = shutil.which("prism")
    if prism is None:
        pytest.skip("prism is not on PATH: `make prism` builds it where Go is")
    jobs, workers = free_port(), free_port()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={workers}"]
    with (tmp_path / "engine.log").open("wb") as log:
        processes = [
            subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path, start_new_session=True)
            for command in ([prism, f"--job_port={jobs}", "--serve_http=false"], pool)
        ]
        try:
            for port, process in zip((jobs, workers), processes, strict=True):
                wait_for(port, process)
            yield (
                "--runner=PortableRunner",
                f"--job_endpoint=localhost:{jobs}",
                "--environment_type=EXTERNAL",
                f"--environment_config=localhost:{workers}",
            )
        finally:
            for process in processes:
                os.killpg(process.pid, 9)
                process.wait()


def points(index: Path):
    reader = open_reader(IndexLocation.parse(str(index)))
    try:
        return {point.id: point for point in reader.scroll(Where(), vectors=True)}
    finally:
        reader.close()


def plain(point):
    return {key: value for key, value in point.payload.items() if key != "searchable_since"}


def test_prism_makes_the_index_that_the_in_process_runner_makes(engine, examples, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for video in sorted(examples.glob("*.mp4"))[:3]:
        shutil.copy(video, corpus)
    (corpus / "broken.mp4").write_bytes(b"\x00" * 4096)
    shutil.copy(next(iter(sorted(examples.glob("*.mp4")))), corpus / "copy.mp4")

    here = ingest(IngestSettings(sources=(str(corpus),), index=str(tmp_path / "here")))
    there = ingest(IngestSettings(sources=(str(corpus),), index=str(tmp_path / "there"), beam_options=engine))

    assert (there.videos_indexed, there.videos_rejected, there.videos_copied) == (4, 1, 1)
    assert (there.videos_indexed, there.clips_written) == (here.videos_indexed, here.clips_written)
    ours, theirs = points(tmp_path / "here"), points(tmp_path / "there")
    assert ours.keys() == theirs.keys()
    for name, point in ours.items():
        assert plain(point) == plain(theirs[name])
        assert point.vectors.keys() == theirs[name].vectors.keys()
        for vector in point.vectors.keys() - {"words"}:
            assert abs(point.vectors[vector] - theirs[name].vectors[vector]).max() < 1e-4

    again = ingest(IngestSettings(sources=(str(corpus),), index=str(tmp_path / "there"), beam_options=engine))
    assert (again.videos_unchanged, again.videos_rejected) == (4, 1)
