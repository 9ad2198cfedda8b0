"""A stream over a real Kafka broker: how soon a file can be found, and many events in random order in flat memory."""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import IO, Any

import numpy as np
from report import figure, finish

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.kafka_broker import Broker, why_not  # noqa: E402
from transforms.errors import MissingIndex  # noqa: E402
from transforms.index.kinds import clips_of  # noqa: E402
from transforms.index.ledger import read_entries  # noqa: E402
from transforms.index.location import IndexLocation  # noqa: E402
from transforms.index.open import open_reader  # noqa: E402
from transforms.index.store import Equals  # noqa: E402
from transforms.uris import uri_of_path  # noqa: E402

RECIPE = 'name = "sounds"\n[segment]\nclip_seconds = 1.0\nsegment_seconds = 2.0\n[sound]\nencoder = "mfcc:statistics"\n'
RATE_HZ = 8000


def tone(path: Path, seed: int) -> Path:
    """One second of three tones; other bytes for each seed, written aside and moved into place."""
    times = np.arange(RATE_HZ) / RATE_HZ
    hertz = np.random.default_rng(seed).uniform(100, 3000, 3)
    samples = 5000 * np.sin(2 * np.pi * hertz[:, None] * times).sum(axis=0)
    aside = path.with_suffix(".part")
    with wave.open(str(aside), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())
    aside.rename(path)
    return path


def event(kind: str, path: Path, generation: int) -> bytes:
    moment = datetime.now(UTC).isoformat()
    told = {"type": kind, "uri": uri_of_path(path), "time": moment, "generation": generation}
    return json.dumps(told).encode()


def memory_megabytes(process: int, field: str) -> float:
    """VmRSS or VmHWM, its peak so far, of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


@contextmanager
def streaming(broker: Broker, topic: str, folder: Path, *options: str) -> Any:
    command = [sys.executable, "-m", "pipelines.cli", "stream", "--kafka", broker.address, "--topic", topic]
    command += ["--group", topic, "--index", str(folder / "index"), "--recipe", str(folder / "sounds.toml"), "--json"]
    command += ["--root", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with (folder / f"{topic}.log").open("w") as log:
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=120)


def searchable(index: IndexLocation, path: Path) -> bool:
    """Whether a fresh reader finds a clip of the file."""
    try:
        reader = open_reader(index)
    except MissingIndex:
        return False
    try:
        return reader.count(clips_of(uri_of_path(path), Equals("live", True))) > 0
    finally:
        reader.close()


def time_events(broker: Broker, folder: Path, files: int, every_seconds: float, runner: str) -> None:
    """Files come one at a time, each with its event; how long until a search finds it."""
    topic, index, took = broker.topic("latency"), IndexLocation.parse(str(folder / "index")), []
    sender = _sender(broker)
    with streaming(broker, topic, folder, "--runner", runner):
        for number in range(files + 1):
            path = tone(folder / f"l{number}.wav", number)
            began = time.monotonic()
            sender.produce(topic, event("create", path, 1))
            sender.flush(30)
            while not searchable(index, path):
                time.sleep(0.2)
            took.append(time.monotonic() - began)
            time.sleep(max(0.0, every_seconds - took[-1]))
    figure("first event of a cold stream to searchable", took[0], "s")
    warm = sorted(took[1:])
    figure("event to searchable, median", median(warm), "s")
    figure(f"event to searchable, p95 of {files}", warm[min(len(warm) - 1, int(0.95 * len(warm)))], "s", at_most=10)


def many_events(broker: Broker, folder: Path, events: int, files: int, marks: Sequence[int]) -> None:
    """20 % duplicates, 10 % deletions, the rest creations and changes; all in random order."""
    chance, topic = random.Random(7), broker.topic("many")
    fresh, history = int(events * 0.8), []
    deletions = set(chance.sample(range(fresh), int(events * 0.1)))
    last: dict[Path, str] = {}
    for number in range(fresh):
        path = folder / f"m{number % files if number < files else chance.randrange(files)}.wav"
        kind = "delete" if number in deletions else "create"
        last[path] = kind
        history.append(event(kind, path, number))
    for number, (path, kind) in enumerate(last.items()):
        if kind == "create":
            tone(path, 1000 + number)
    history += chance.choices(history, k=events - fresh)
    chance.shuffle(history)
    sender = _sender(broker)
    for one in history:
        sender.produce(topic, one)
    sender.flush(60)
    began = time.monotonic()
    with streaming(broker, topic, folder, "--end-when-idle", "5s", "--retry", "1s", "--tries", "4") as process:
        told: dict[str, float] = {}
        left = list(marks)
        for batch in _batches(process.stdout):
            for name, count in batch.items():
                told[name] = told.get(name, 0) + count
            done, waiting = told["events"], batch["waiting"]
            seconds = time.monotonic() - began
            while left and done >= left[0]:
                mark = left.pop(0)
                for name, field in (("memory", "VmRSS"), ("peak memory", "VmHWM")):
                    figure(f"{name} after {mark} events", memory_megabytes(process.pid, field), "MB")
            if "--json" not in sys.argv:
                print(f"  {done} events, {waiting} waiting, {seconds:.0f} s", flush=True)
            peak = memory_megabytes(process.pid, "VmHWM")
    told.pop("waiting"), told.pop("batch"), told.pop("seconds")
    if "--json" not in sys.argv:
        print(f"  {told}")
    figure(f"{events} events over {files} files", seconds, "s")
    figure("peak memory in the end", peak, "MB")
    figure("videos that are not as their last event left them", _wrong(folder, last), "", at_most=0)


def _wrong(folder: Path, last: dict[Path, str]) -> int:
    reader = open_reader(IndexLocation.parse(str(folder / "index")))
    try:
        entries = read_entries(reader)
        wrong = 0
        for path, kind in last.items():
            entry = entries[uri_of_path(path)]
            wanted = hashlib.sha256(path.read_bytes()).hexdigest() if kind == "create" else ""
            clips = reader.count(clips_of(entry.uri, Equals("live", True)))
            wrong += entry.live_content != wanted or clips != entry.clips or bool(clips) != (kind == "create")
        return wrong
    finally:
        reader.close()


def _batches(lines: "IO[str]") -> Any:
    return (json.loads(line) for line in lines)


def _sender(broker: Broker) -> Any:
    from confluent_kafka import Producer

    return Producer({"bootstrap.servers": broker.address, "linger.ms": 0})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latencies", type=int, default=40, help="files that come one at a time")
    parser.add_argument("--every", type=float, default=0.5, help="seconds from one of them to the next, at least")
    parser.add_argument("--runner", default="local", help="that their batches run on: local or prism")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=1000, help="that these events are about")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if reason := why_not():
        print(f"left out: {reason}", file=sys.stderr)
        sys.exit(0)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        broker = Broker(here / "broker").start()
        try:
            for part in ("one", "many"):
                (here / part).mkdir()
                (here / part / "sounds.toml").write_text(RECIPE)
            if chosen.latencies:
                time_events(broker, here / "one", chosen.latencies, chosen.every, chosen.runner)
            if chosen.events:
                marks = [mark for mark in (1000, chosen.events) if mark <= chosen.events]
                many_events(broker, here / "many", chosen.events, chosen.files, marks)
        finally:
            broker.kill()
    finish()
