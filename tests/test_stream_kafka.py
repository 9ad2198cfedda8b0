"""The command over a real Kafka broker, which dies and comes back: nothing is lost, offsets follow what is done."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import wave
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import transforms.stream.kafka
from pipelines.cli import app
from tests.kafka_broker import Broker, why_not
from tests.test_histories import RECIPE
from transforms.errors import Outage, UsageError
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.stream.kafka import KafkaSource
from transforms.uris import uri_of_path

HERE = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is a broker")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = Broker(tmp_path_factory.mktemp("kafka")).start()
    yield made
    made.kill()


def tone(path, hertz):
    times = np.arange(8000 * 2) / 8000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((9000 * np.sin(2 * np.pi * hertz * times)).astype("<i2").tobytes())
    return path


def event(kind, path):
    return json.dumps({"type": kind, "uri": uri_of_path(path), "time": datetime.now(UTC).isoformat()}).encode()


def produce(broker, topic, *values):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": broker.address})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % 2)
    assert producer.flush(30) == 0


def arguments(broker, topic, folder):
    return [
        *("--kafka", broker.address, "--topic", topic, "--group", "g", "--root", str(folder)),
        *("--index", str(folder / "index"), "--recipe", str(folder / "sounds.toml"), "--json"),
    ]


class Running:
    """`reelvec stream` in a process of its own; its lines are read as they come."""

    def __init__(self, broker, topic, folder, *options):
        command = [sys.executable, "-m", "pipelines.cli", "stream", *arguments(broker, topic, folder), *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
        self.process = subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.counts: dict[str, int] = {}
        self.said = ""
        for pipe, mark in ((self.process.stdout, "out "), (self.process.stderr, "err ")):
            threading.Thread(target=self._read, args=(pipe, mark), daemon=True).start()

    def _read(self, pipe, mark):
        for line in pipe:
            self._lines.put(mark + line)

    def until(self, happened, seconds=120):
        """Read on until it happened; a line of what was said comes with the failure."""
        until = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < until, (self.counts, self.said)
            try:
                line = self._lines.get(timeout=0.2)
            except queue.Empty:
                continue
            if line.startswith("out "):
                for name, count in json.loads(line[4:]).items():
                    self.counts[name] = self.counts.get(name, 0) + count
                    self.counts["waiting"] = json.loads(line[4:])["waiting"]
            else:
                self.said += line[4:]

    def has(self, **wanted):
        return lambda: all(self.counts.get(name, 0) >= count for name, count in wanted.items())


def live(folder):
    reader = open_reader(IndexLocation.parse(str(folder / "index")))
    try:
        entries = read_entries(reader)
    finally:
        reader.close()
    return {Path(uri).stem for uri, entry in entries.items() if entry.live_content}


def test_a_broker_that_dies_is_waited_for_and_offsets_follow_what_is_done(broker, tmp_path):
    (tmp_path / "sounds.toml").write_text(RECIPE)
    a, b, c, d = (tmp_path / f"{name}.wav" for name in "abcd")
    tone(a, 200), tone(b, 300)
    topic = broker.topic("films", partitions=2)
    produce(broker, topic, event("create", a), b"{", event("create", b), event("create", a), event("delete", b))
    running = Running(broker, topic, tmp_path, "--retry", "30s")
    try:
        running.until(running.has(events=5, indexed=1, dead_letters=1))
        assert live(tmp_path) <= {"a", "b"}
        broker.kill()
        running.until(lambda: "does not answer" in running.said)
        broker.start()
        tone(c, 400)
        produce(broker, topic, event("create", c), event("create", d))  # d is not there yet
        running.until(running.has(events=7, waiting=1))
        running.until(lambda: "answers again" in running.said)
        assert live(tmp_path) == {"a", "c"}
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=60) == 0
    finally:
        running.process.kill()
    assert broker.committed(topic, "g") == 6  # all but that of d
    tone(d, 500)
    again = CliRunner().invoke(app, ["stream", *arguments(broker, topic, tmp_path), "--end-when-idle", "2s"])
    assert again.exit_code == 0, again.stderr
    assert live(tmp_path) == {"a", "c", "d"}
    assert broker.committed(topic, "g") == 7


def test_a_topic_that_is_not_there_is_wrong_usage(broker):
    with pytest.raises(UsageError, match="no topic 'none'"):
        KafkaSource(broker.address, "none", "g").open()


def test_options_that_the_client_does_not_know_are_wrong_usage(broker):
    with pytest.raises(UsageError, match=r"no\.such\.option"):
        KafkaSource(broker.address, "films", "g", options={"no.such.option": "1"}).open()


def test_brokers_that_do_not_answer_at_the_start_are_an_outage(monkeypatch):
    monkeypatch.setattr(transforms.stream.kafka, "_CONNECT_SECONDS", 1.0)
    with pytest.raises(Outage, match=r"no Kafka broker answers at 127\.0\.0\.1:9"):
        KafkaSource("127.0.0.1:9", "films", "g").open()
