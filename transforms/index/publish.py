"""Make what an Edge index holds visible to its readers, in a child process, while the writer goes on."""

import json
import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.errors import DiskFull, StoreUnavailable
from transforms.index.location import IndexLocation
from transforms.index.store import VectorStore, Where

if TYPE_CHECKING:
    from transforms.index.live import LiveShard


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publication did; `version` 0 means that nothing had to be published (a server)."""

    version: int = 0
    points: int = 0
    seconds: float = 0.0
    optimise_seconds: float = 0.0
    copy_seconds: float = 0.0
    writer_wait_seconds: float = 0.0  # at most so long did a writer stand still
    copied_bytes: int = 0
    size_bytes: int = 0  # of the published version, files shared with another one included


def publish(location: IndexLocation, store: VectorStore, *, optimize: bool) -> Publication:
    """Publish all that `store` was given so far; raises DiskFull or StoreUnavailable, the version before stays.

    Blocks until readers can see it: while a run goes on, call it from a thread of its own. `optimize`
    first builds graphs over the live shard, whose handle is closed meanwhile: for the end of a run.
    A server has nothing to publish: what is committed there is visible.
    """
    if location.kind == "server":
        return Publication()
    return _publish(_live_of(store), optimize=optimize)


def _publish(live: "LiveShard", *, optimize: bool) -> Publication:
    from transforms.index.engine import count_out

    began = time.monotonic()
    waits: list[float] = []
    with _Child(live.location) as child:
        optimise_seconds = 0.0
        if optimize:
            with live.closed():
                optimise_seconds = float(child.ask(do="optimise")["seconds"])
        with _still(live, waits):
            child.ask(do="survey")
        copy_seconds = float(child.answer()["seconds"])
        with _still(live, waits) as shard:
            shard.flush()
            points = int(shard.count(count_out(Where())))
            child.ask(do="settle")
        done = child.ask(do="switch", points=points)
    return Publication(
        version=int(done["version"]),
        points=points,
        seconds=time.monotonic() - began,
        optimise_seconds=optimise_seconds,
        copy_seconds=copy_seconds,
        writer_wait_seconds=max(waits),
        copied_bytes=int(done["copied_bytes"]),
        size_bytes=int(done["size_bytes"]),
    )


class _still:
    """The shard for the publisher alone; notes how long a writer could have waited for it."""

    def __init__(self, live: "LiveShard", waits: list[float]) -> None:
        self._context: AbstractContextManager[Any] = live.use()
        self._waits = waits
        self._began = 0.0

    def __enter__(self) -> Any:
        shard = self._context.__enter__()
        self._began = time.monotonic()
        return shard

    def __exit__(self, *raised: Any) -> bool | None:
        self._waits.append(time.monotonic() - self._began)
        return self._context.__exit__(*raised)


class _Child:
    """The process that copies; one JSON object a line each way."""

    def __init__(self, location: IndexLocation) -> None:
        self._location = location
        script = Path(__file__).with_name("copying.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), str(location.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the writer, which ends it in order
            text=True,
            env={**os.environ, "PYTHONUTF8": "1"},
        )

    def __enter__(self) -> "_Child":
        try:
            self.answer()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, **asked: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its last words say why
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise StoreUnavailable(f"the publishing process ended (exit {code}): {self._location}; run again")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            kind = DiskFull if "[Errno 28]" in said["error"] or "No space left" in said["error"] else StoreUnavailable
            raise kind(f"the index could not be published: {self._location}: {said['error']}")
        return said

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # what it did not take any more
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _live_of(store: VectorStore) -> "LiveShard":
    from transforms.index.edge import EdgeStore

    if not isinstance(store, EdgeStore):
        raise TypeError(f"an Edge index is published by its writer: store={type(store).__name__}")
    return store.live
