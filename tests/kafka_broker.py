"""A real Kafka broker for tests and benchmarks: one process, KRaft, from the jars that `make kafka` fetches."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

JARS = Path(__file__).parents[1] / ".tools/kafka/lib"

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
num.network.threads=1
num.io.threads=2
background.threads=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""
_LOGGING = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


def why_not() -> str:
    """Why there is no broker here; "" where there can be one."""
    if shutil.which("java") is None:
        return "Java is not installed: a Kafka broker needs it"
    if not list(JARS.glob("kafka_2.13-*.jar")):
        return "there is no Kafka broker: make kafka"
    try:
        import confluent_kafka  # noqa: F401
    except ImportError:
        return "confluent-kafka is not installed: pip install 'reelvec[kafka]'"
    return ""


class Broker:
    """It can be killed, and started again with what it holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, controller = _free_port(), _free_port()
        self.address = f"127.0.0.1:{self._port}"
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        self._properties.write_text(_PROPERTIES.format(port=self._port, controller=controller, folder=folder))
        self._process: subprocess.Popen[bytes] | None = None
        self._java("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c").wait(timeout=120)

    def start(self) -> "Broker":
        self._process = self._java("kafka.Kafka")
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"the broker ended: {(self._folder / 'log').read_text()[-2000:]}")
            if self._answers():
                return self
            time.sleep(0.2)
        raise RuntimeError("the broker does not answer within 120 s")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def topic(self, name: str, partitions: int = 1) -> str:
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.address})
        for made in admin.create_topics([NewTopic(name, partitions, 1)]).values():
            made.result(30)
        return name

    def committed(self, topic: str, group: str) -> int:
        """The sum of the offsets that the group has committed."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group})
        try:
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            held = consumer.committed([TopicPartition(topic, number) for number in partitions], timeout=30)
            return sum(max(0, one.offset) for one in held)
        finally:
            consumer.close()

    def _answers(self) -> bool:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._port)):
                return False
        try:
            return bool(AdminClient({"bootstrap.servers": self.address}).list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    def _java(self, main: str, *arguments: str) -> "subprocess.Popen[bytes]":
        log = (self._folder / "log").open("ab")
        command = ["java", *_LOGGING, "-cp", f"{JARS}/*", main, *arguments, str(self._properties)]
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
