"""Prism as a job server with a worker pool beside it, each a process of its own: the way that Flink takes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STARTUP_SECONDS = 120.0


@dataclass(frozen=True)
class JobServer:
    """The options that send a job there, and the pool that its workers are started by."""

    options: tuple[str, ...]
    pool: subprocess.Popen[bytes]
    log: Path

    def workers(self) -> list[int]:
        """The processes that the pool has started and that live."""
        children = Path(f"/proc/{self.pool.pid}/task")
        return [int(pid) for task in children.iterdir() for pid in (task / "children").read_text().split()]

    def kill_worker(self, *, within_seconds: float = 60.0) -> int:
        """SIGKILL the first worker there is, as a machine out of memory would."""
        until = time.monotonic() + within_seconds
        while not (found := self.workers()):
            assert time.monotonic() < until, f"no worker started within {within_seconds} s: {self.log.read_text()}"
            time.sleep(0.02)
        os.kill(found[0], signal.SIGKILL)
        return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def job_server(folder: Path, *, home: Path | None = None) -> Iterator[JobServer]:
    """Both processes, in `folder` and with `home` as their HOME, until the block ends."""
    prism = shutil.which("prism")
    assert prism is not None
    jobs, workers = free_port(), free_port()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # the pool starts bare `python`
        "PYTHONPATH": str(ROOT),
        "HOME": str(home or Path.home()),
    }
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={workers}"]
    log_path = folder / "engine.log"
    started: list[subprocess.Popen[bytes]] = []
    with log_path.open("wb") as log:
        try:
            started += [
                subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
                for command in ([prism, f"--job_port={jobs}", "--serve_http=false"], pool)
            ]
            for port, process in zip((jobs, workers), started, strict=True):
                _wait_for(port, process, log_path)
            options = (
                "--runner=PortableRunner",
                f"--job_endpoint=localhost:{jobs}",
                "--environment_type=EXTERNAL",
                f"--environment_config=localhost:{workers}",
                "--parallelism=1",
            )
            yield JobServer(options, started[1], log_path)
        finally:
            for process in started:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, f"{process.args!r} ended before it listened: {log.read_text()}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{process.args!r} did not listen on port {port} within {STARTUP_SECONDS} s")
