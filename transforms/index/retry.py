"""Calls to a Qdrant server: what passes is tried again with back-off, what does not is said in our errors."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import grpc  # type: ignore[import-untyped]
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from transforms import measures
from transforms.errors import BadVectors, DiskFull, MissingIndex, ReelvecError, StoreUnavailable, UsageError

log = logging.getLogger(__name__)

TRIES = 5  # of a search: who waits for an answer would rather have the error
TRIES_OF_A_WRITER = 12  # a server that starts again takes its time, and hours of work hang on it
GIVE_UP_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0

_PASSING_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
}
_PASSING_STATUSES = {408, 425, 429}
#: gRPC's codes as the HTTP statuses of the same meaning.
_STATUS_OF_CODE = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.ALREADY_EXISTS: 409,
}

T = TypeVar("T")


class AlreadyThere(ReelvecError):
    """What was to be created exists; another process was quicker."""


def call(doing: str, shown: str, work: Callable[[], T], *, patient: bool = False) -> T:
    """What `work` returns; tried again while the failure can pass, then StoreUnavailable.

    That is after some 7 s, or 60 s where it is `patient`.

    Raises MissingIndex, UsageError (key), BadVectors (a refused request) with the server's words at once.
    """
    began, tries = time.monotonic(), TRIES_OF_A_WRITER if patient else TRIES
    for attempt in range(1, tries + 1):
        try:
            return work()
        except (grpc.RpcError, UnexpectedResponse, ResponseHandlingException, ResourceExhaustedResponse) as error:
            status, words = _read(error)
            if status is not None:
                raise _final(status, f"{doing}: {shown}: {words}") from error
            pause_seconds = _pause(error, attempt)
            if attempt == tries or time.monotonic() - began + pause_seconds > GIVE_UP_SECONDS:
                kind = DiskFull if "No space left" in words else StoreUnavailable
                raise kind(f"the server did not answer after {attempt} tries: {doing}: {shown}: {words}") from error
            measures.count(measures.RETRIES, of="store")
            log.warning("%s failed, trying again in %.1f s: %s: %s", doing, pause_seconds, shown, words)
            time.sleep(pause_seconds)
    raise AssertionError("unreachable: the last try returns or raises")


def _read(error: Exception) -> tuple[int | None, str]:
    """The HTTP status of a failure that lasts, None for one that may pass; and the server's words."""
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 500
        passing = status >= 500 or status in _PASSING_STATUSES
        return None if passing else status, f"{status} {error.content.decode(errors='replace')[:500]}"
    if isinstance(error, grpc.RpcError):
        code = error.code() if callable(getattr(error, "code", None)) else grpc.StatusCode.UNKNOWN
        details = error.details() if callable(getattr(error, "details", None)) else str(error)
        return None if code in _PASSING_CODES else _STATUS_OF_CODE.get(code, 400), f"{code.name} {details}"
    return None, str(error)


def _final(status: int, said: str) -> ReelvecError:
    if status == 404:
        return MissingIndex(f"the server has no such index: {said}")
    if status in (401, 403):
        return UsageError(f"the server wants another key: {said}; set QDRANT_API_KEY")
    if status == 409:
        return AlreadyThere(said)
    return BadVectors(f"the server refuses the request: {said}")


def _pause(error: Exception, attempt: int) -> float:
    if isinstance(error, ResourceExhaustedResponse):
        return float(error.retry_after_s)
    longest: float = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)
