"""A local server that speaks Pub/Sub's protocol over gRPC: Pull, Acknowledge, ModifyAckDeadline.

Messages that are held too long are delivered again, as the service does.
"""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1.types import (
    AcknowledgeRequest,
    ModifyAckDeadlineRequest,
    PubsubMessage,
    PullRequest,
    PullResponse,
    ReceivedMessage,
)

SUBSCRIPTION = "projects/p/subscriptions/s"


class PubSubServer:
    """One subscription. It can be stopped, and started again at the same address with what it holds."""

    def __init__(self, deadline_seconds: float = 10.0) -> None:
        self.deadline_seconds = deadline_seconds
        self.acknowledged: list[str] = []
        self._messages: dict[str, PubsubMessage] = {}
        self._held_until: dict[str, float] = {}
        self._change = threading.Condition()
        self._port = 0
        self._server: grpc.Server | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def left(self) -> int:
        return len(self._messages)

    def publish(self, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        with self._change:
            name = str(1000 + len(self._messages) + len(self.acknowledged))
            self._messages[name] = PubsubMessage(data=data, attributes=dict(attributes or {}), message_id=name)
            self._change.notify_all()
        return name

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(4))
        handlers = {
            "Pull": _method(self._pull, PullRequest, PullResponse),
            "Acknowledge": _method(self._acknowledge, AcknowledgeRequest, None),
            "ModifyAckDeadline": _method(self._modify, ModifyAckDeadlineRequest, None),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", handlers),)
        )
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self._server.start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.stop(0).wait(10)

    def _pull(self, request: PullRequest, context: grpc.ServicerContext) -> PullResponse:
        if request.subscription != SUBSCRIPTION:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={request.subscription}).")
        with self._change:
            while not (free := self._free()) and context.is_active():
                self._change.wait(0.05)
            taken = free[: request.max_messages] if context.is_active() else []
            for name in taken:
                self._held_until[name] = time.monotonic() + self.deadline_seconds
        return PullResponse(
            received_messages=[ReceivedMessage(ack_id=f"ack-{name}", message=self._messages[name]) for name in taken]
        )

    def _acknowledge(self, request: AcknowledgeRequest, context: grpc.ServicerContext) -> Any:
        with self._change:
            for ack_id in request.ack_ids:
                if self._messages.pop(ack_id.removeprefix("ack-"), None) is not None:
                    self.acknowledged.append(ack_id.removeprefix("ack-"))
        return empty_pb2.Empty()

    def _modify(self, request: ModifyAckDeadlineRequest, context: grpc.ServicerContext) -> Any:
        with self._change:
            for ack_id in request.ack_ids:
                self._held_until[ack_id.removeprefix("ack-")] = time.monotonic() + request.ack_deadline_seconds
        return empty_pb2.Empty()

    def _free(self) -> list[str]:
        now = time.monotonic()
        return [name for name in self._messages if self._held_until.get(name, 0.0) <= now]


def _method(function: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
    def serialize(answer: Any) -> bytes:
        return bytes(response.serialize(answer) if response is not None else answer.SerializeToString())

    return grpc.unary_unary_rpc_method_handler(
        function, request_deserializer=request.deserialize, response_serializer=serialize
    )
