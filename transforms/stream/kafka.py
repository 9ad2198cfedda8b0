"""Messages of a Kafka topic, through librdkafka's own consumer.

What is done is stored as the partition's offset, and the client commits stored offsets in the background and when it
closes: a broker that is away meanwhile costs nothing but messages that come twice.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transforms.errors import MissingPackage, Outage, UsageError
from transforms.stream.messages import Message
from transforms.stream.offsets import Offsets

if TYPE_CHECKING:
    import confluent_kafka

#: A batch may take this long, and the client's own maximum: a hung process loses its partitions by its heartbeat only
#: when it dies, which is what one writer of an index wants.
_LONGEST_BATCH_MSEC = 86_400_000
#: For what follows a first message, so that messages that came together are one batch.
_TOGETHER_SECONDS = 0.05
_CONNECT_SECONDS = 15.0

#: Offsets are stored when messages are done, not when they are read, and what was stored is committed every second.
_FIXED: Mapping[str, Any] = {
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 1000,
    "enable.auto.offset.store": False,
}
DEFAULTS: Mapping[str, Any] = {
    "auto.offset.reset": "earliest",
    "max.poll.interval.ms": _LONGEST_BATCH_MSEC,
    # Read ahead of a batch at most; librdkafka's own limit is 64 MB a partition.
    "queued.min.messages": 1000,
    "queued.max.messages.kbytes": 4096,
    "reconnect.backoff.max.ms": 2000,
}


class KafkaSource:
    """One member of a consumer group on one topic. `tell` hears, once each time, that brokers went away or are back."""

    def __init__(
        self,
        brokers: str,
        topic: str,
        group: str,
        *,
        options: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name = f"kafka://{topic}"
        self._brokers, self._topic, self._group = brokers, topic, group
        self._options, self._tell = dict(options or {}), tell
        self._offsets: dict[int, Offsets] = defaultdict(Offsets)
        self._away = False

    def open(self) -> None:
        try:
            from confluent_kafka import Consumer, KafkaException
        except ImportError as error:
            raise MissingPackage("Kafka needs the package confluent-kafka: pip install 'reelvec[kafka]'") from error
        wanted = {
            **DEFAULTS,
            **self._options,
            **_FIXED,
            "bootstrap.servers": self._brokers,
            "group.id": self._group,
            "error_cb": self._went_wrong,
            "on_commit": self._committed,
        }
        try:
            self._consumer = Consumer(wanted, logger=_quiet())
        except (KafkaException, ValueError, TypeError) as error:
            raise UsageError(f"the Kafka client does not take these options: {_said(error)}") from error
        try:
            self._check_topic()
            self._consumer.subscribe([self._topic], on_revoke=self._revoked, on_lost=self._revoked)
        except BaseException:
            self._consumer.close()
            raise

    def _check_topic(self) -> None:
        from confluent_kafka import KafkaException

        try:
            topics = self._consumer.list_topics(timeout=_CONNECT_SECONDS).topics
        except KafkaException as error:
            raise Outage(
                f"no Kafka broker answers at {self._brokers} within {_CONNECT_SECONDS:g} s: {_said(error)}"
            ) from error
        if self._topic not in topics:
            raise UsageError(f"the brokers at {self._brokers} have no topic {self._topic!r}; make it, and start again")

    def take(self, most: int, wait_seconds: float) -> list[Message]:
        first = self._consumer.poll(wait_seconds)
        if first is None:
            return []
        rest = self._consumer.consume(most - 1, timeout=_TOGETHER_SECONDS) if most > 1 else []
        return [message for each in (first, *rest) if (message := self._taken(each)) is not None]

    def done(self, messages: Sequence[Message]) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        touched = set()
        for message in messages:
            partition, offset = message.token
            if partition in self._offsets:
                self._offsets[partition].done(offset)
                touched.add(partition)
        for partition in touched:
            wanted = TopicPartition(self._topic, partition, self._offsets[partition].committable)
            try:
                self._consumer.store_offsets(offsets=[wanted])
            except KafkaException as error:  # taken away from us meanwhile: its new owner does it again
                self._tell(f"partition {partition} of {self._topic} is another's now: {_said(error)}")

    def close(self) -> None:
        self._consumer.close()

    def _taken(self, message: "confluent_kafka.Message") -> Message | None:
        error = message.error()
        if error is not None:
            self._went_wrong(error)
            return None
        if self._away:
            self._away = False
            self._tell("Kafka answers again")
        partition, offset = int(message.partition() or 0), int(message.offset() or 0)
        self._offsets[partition].take(offset)
        headers = {str(header[0]): _text(header[1]) for header in message.headers() or ()}
        value = message.value()
        data = value if isinstance(value, bytes) else str(value or "").encode()
        return Message(f"{self.name}/{partition}/{offset}", data, headers, (partition, offset))

    def _went_wrong(self, error: "confluent_kafka.KafkaError") -> None:
        """The client connects again by itself; what it cannot mend is raised."""
        from confluent_kafka import KafkaError

        for_good = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
        if error.fatal() or error.code() in for_good:
            raise UsageError(f"Kafka refuses {self._topic} to {self._group}: {_said(error)}")
        if not self._away:
            self._away = True
            self._tell(f"Kafka does not answer at {self._brokers}, waiting for it: {_said(error)}")

    def _committed(self, error: "confluent_kafka.KafkaError | None", partitions: Sequence[Any]) -> None:
        if error is None and self._away:
            self._away = False
            self._tell("Kafka answers again")

    def _revoked(self, consumer: Any, partitions: Sequence[Any]) -> None:
        for one in partitions:
            self._offsets.pop(one.partition, None)


def read_options(lines: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Options of librdkafka, `name = value` a line; a value $NAME is that of an environment variable.

    Raises UsageError for anything else: a secret belongs neither on the command line nor in the file.
    """
    options = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, mark, value = (part.strip() for part in text.partition("="))
        if not mark or not name:
            raise UsageError(f"line {number} of the Kafka options is not name = value")
        if value.startswith("$"):
            if value[1:] not in environment:
                raise UsageError(f"line {number} of the Kafka options wants the environment variable {value[1:]}")
            value = environment[value[1:]]
        options[name] = value
    return options


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _said(error: Any) -> str:
    inner = error.args[0] if isinstance(error, Exception) and error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(inner)


def _quiet() -> Any:
    """librdkafka prints every reconnection; what matters is told through `tell`."""
    import logging

    log = logging.getLogger("reelvec.kafka")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    return log
