"""Messages of a Pub/Sub subscription, pulled; acknowledged when what they asked for is in the index.

Held messages would be delivered again after their deadline, so a thread puts it off while a batch works.
"""

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from transforms.errors import MissingPackage, UsageError
from transforms.stream.messages import Message

#: How long a message is ours from the last time that we said so, and how often we say so.
_LEASE_SECONDS, _EVERY_SECONDS = 60, 20.0
_IDS_A_CALL = 1000
#: A pull that ends before its answer comes keeps messages from everybody until their deadline.
_PULL_SECONDS = 3.0
_CALL_SECONDS = 20.0
_SUBSCRIPTION = re.compile(r"projects/[^/\s]+/subscriptions/[^/\s]+")


class PubSubSource:
    """One subscription. `tell` hears, once each time, that the service went away or is back."""

    def __init__(self, subscription: str, *, tell: Callable[[str], None] = lambda text: None) -> None:
        if not _SUBSCRIPTION.fullmatch(subscription):
            raise UsageError(f"a subscription is named projects/P/subscriptions/S: {subscription!r}")
        self._subscription, self._tell = subscription, tell
        _, project, _, own = subscription.split("/")
        self.name = f"pubsub://{project}/{own}"
        self._lock = threading.Lock()
        self._held: dict[str, None] = {}
        self._unsaid: list[str] = []
        self._away = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        try:
            from google.auth.exceptions import DefaultCredentialsError
            from google.cloud import pubsub_v1
        except ImportError as error:
            raise MissingPackage(
                "Pub/Sub needs the package google-cloud-pubsub: pip install 'reelvec[pubsub]'"
            ) from error
        try:
            self._client = pubsub_v1.SubscriberClient()
        except DefaultCredentialsError as error:
            raise UsageError(
                "there are no credentials for Pub/Sub: set GOOGLE_APPLICATION_CREDENTIALS to a key's file, or run "
                "`gcloud auth application-default login`"
            ) from error
        self._thread = threading.Thread(target=self._keep, name="pubsub leases", daemon=True)
        self._thread.start()

    def take(self, most: int, wait_seconds: float) -> list[Message]:
        from google.api_core import exceptions

        self._acknowledge()
        try:
            answer = self._client.pull(
                subscription=self._subscription,
                max_messages=min(most, _IDS_A_CALL),
                timeout=max(wait_seconds, _PULL_SECONDS),
                retry=None,
            )
        except exceptions.DeadlineExceeded:
            return []
        except (exceptions.NotFound, exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
            raise UsageError(f"Pub/Sub refuses {self._subscription}: {error.message}") from error
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
            self._is_away(error)
            self._over.wait(wait_seconds)
            return []
        self._is_back()
        held = [one.ack_id for one in answer.received_messages]
        with self._lock:
            self._held.update(dict.fromkeys(held))
        self._put_off(held)
        return [
            Message(f"{self.name}/{one.message.message_id}", one.message.data, dict(one.message.attributes), one.ack_id)
            for one in answer.received_messages
        ]

    def done(self, messages: Sequence[Message]) -> None:
        with self._lock:
            for message in messages:
                if message.token in self._held:
                    del self._held[message.token]
                    self._unsaid.append(message.token)
        self._acknowledge()

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._acknowledge()
        with self._lock:
            held = list(self._held)
        self._put_off(held, seconds=0)  # another reader may have them now
        self._client.close()

    def _acknowledge(self) -> None:
        """Say what is done; what cannot be said now is said before the next pull."""
        from google.api_core import exceptions

        with self._lock:
            unsaid, self._unsaid = self._unsaid, []
        for start in range(0, len(unsaid), _IDS_A_CALL):
            ids = unsaid[start : start + _IDS_A_CALL]
            try:
                self._client.acknowledge(
                    subscription=self._subscription, ack_ids=ids, timeout=_CALL_SECONDS, retry=None
                )
            except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
                self._is_away(error)
                with self._lock:
                    self._unsaid += unsaid[start:]
                return

    def _put_off(self, ids: Sequence[str], *, seconds: int = _LEASE_SECONDS) -> None:
        from google.api_core import exceptions

        for start in range(0, len(ids), _IDS_A_CALL):
            try:
                self._client.modify_ack_deadline(
                    subscription=self._subscription,
                    ack_ids=list(ids[start : start + _IDS_A_CALL]),
                    ack_deadline_seconds=seconds,
                    timeout=_CALL_SECONDS,
                    retry=None,
                )
            except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
                self._is_away(error)
                return

    def _keep(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            with self._lock:
                held = list(self._held)
            self._put_off(held)

    def _is_away(self, error: Any) -> None:
        if not self._away:
            self._away = True
            said = str(getattr(error, "message", error)).partition("\n")[0]
            self._tell(f"Pub/Sub does not answer, waiting for it: {said[:200]}")

    def _is_back(self) -> None:
        if self._away:
            self._away = False
            self._tell("Pub/Sub answers again")
