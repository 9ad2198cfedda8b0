"""What every encoder behind a service shares: its key, its patience, its spending cap, the checks of its answers.

The key comes from the environment when the encoder is loaded, and stays there: it is in no card, no pickle, no log
and no message, and is sent to the endpoint of the name alone, never after a redirect. Media are sent only where the
encoder's name says `send_media=true`. `max_requests` bounds what one process sends in one run (see `spending`).
"""

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from os import environ
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import numpy as np

from transforms import measures
from transforms.encoders.cards import Card, Modality
from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.encoders.network import Kind, Network, Where
from transforms.encoders.spending import Account, spend
from transforms.errors import BadVectors, MissingKey, ReelvecError, ServiceFailed, UsageError
from transforms.records import Float32, FrameSpec, Scalar

if TYPE_CHECKING:
    import httpx

#: What the name of every service's encoder may say, beside what the service itself adds.
OPTIONS = (
    "endpoint",
    "key_variable",
    "send_media",
    "max_requests",
    "attempts",
    "wait_msec",
    "timeout_msec",
    "longest_tokens",
    "query_prompt",
    "document_prompt",
)
_DECIDING = ("query_prompt", "document_prompt")
_LOCAL = "none"  # the key_variable of an endpoint without keys
_LONGEST_WAIT_SECONDS = 120.0
_SAID_CHARACTERS = 300
_SECRET = "(key|token|secret|password|passwd|credentials?|authorization|auth|bearer)$"  # names of fields that hold one
_PICTURE = FrameSpec(768, 768, "whole")
_log = logging.getLogger(__name__)


def service_card(
    name: Name,
    *,
    endpoint: str,
    longest_tokens: int,
    modality: Modality = "text",
    media: tuple[Kind, ...] = (),
    settings: Sequence[tuple[str, Scalar]] = (),
    **described: Any,
) -> Card:
    """The card of a service's model: text, and of its `media` what its name allows to be sent.

    Raises UsageError for a name without dimensions, with a key in it, or that sends media to a model that takes none.
    """
    _check(name)
    asked = name.option("endpoint", endpoint).rstrip("/")
    sends = name.flag("send_media")
    if sends and not media:
        raise UsageError(f"{name.family}:{name.model} takes text only; leave send_media out of its name")
    if not name.option("dimensions"):
        raise UsageError(
            f"the name of a service's encoder says how long its vectors are; say dimensions=N, as the service's "
            f"documentation states it: {name.family}:{name.model}?dimensions=N"
        )
    place = urlsplit(asked)
    decided = {option: name.option(option) for option in _DECIDING if name.option(option)}
    longest = name.number("longest_tokens", longest_tokens)
    decided["longest_tokens"] = str(longest)
    if sends:
        decided |= {key: str(value) for key, value in described.items()}
    return Card(
        name=str(name),
        modality=modality if sends else "text",
        accepts=("text", *media) if sends else ("text",),
        dimensions=name.number("dimensions", 0),
        space=f"{name.model} at {place.netloc}",
        text_queries=True,
        frame_spec=_PICTURE if sends and {"image", "clip"} & set(media) else None,
        sample_rate_hz=16_000 if sends and {"sound", "clip"} & set(media) else None,
        weights=(),
        licence="terms of the service",
        languages=(),
        settings=(
            ("endpoint", place.netloc + place.path),
            ("model", name.model),
            *decided.items(),
            *settings,
            ("revision", 1),
        ),
        identity=name.family,
        longest_tokens=longest,
        **(described if sends else {}),
    )


def key_variable(name: Name) -> str:
    """The environment variable that holds the key; "" for an endpoint without keys."""
    variable = name.option("key_variable", family(name.family).key)
    return "" if variable == _LOCAL else variable


def require_key(name: Name) -> str:
    """The key of a service, out of this process's environment; raises MissingKey."""
    variable = key_variable(name)
    key = environ.get(variable, "").strip() if variable else _LOCAL
    if not key:
        raise MissingKey(f"{name.family} needs a key; put it into the environment variable {variable}")
    if not re.fullmatch("[!-~]+", key):  # a header takes no other, and clients repeat it when they say so
        raise MissingKey(
            f"the key in {variable} is none of {name.family}: a key is one word of ASCII letters, digits and signs, "
            "without spaces and line breaks; put it there again"
        )
    return key


def endpoint_of(card: Card, usual: str) -> str:
    """Where an encoder's requests go."""
    return Name.parse(card.name).option("endpoint", usual).rstrip("/")


def _check(name: Name) -> None:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*|none", name.option("key_variable", _LOCAL)):
        raise UsageError(  # without its value, which may be a key
            f"key_variable names an environment variable, such as {family(name.family).key}, never a key; "
            f"it is none for an endpoint without keys: {name.family}:{name.model}"
        )
    place = urlsplit(name.option("endpoint", "https://host"))
    if place.scheme not in ("http", "https") or not place.hostname:
        raise UsageError(f"an endpoint is http://host or https://host, with its path: {name.family}:{name.model}")
    if place.username or place.password:
        raise UsageError(
            f"an endpoint holds no user and no password, a name would show them; put the key into the environment "
            f"and say key_variable=NAME: {name.family}:{name.model}"
        )
    if place.query or place.fragment:
        raise UsageError(
            f"an endpoint has a path and nothing behind it, which may be a key; put the key into the environment and "
            f"say key_variable=NAME: {name.family}:{name.model}"
        )
    for option in ("max_requests", "attempts", "wait_msec", "timeout_msec"):
        name.number(option, 1)


@dataclass(frozen=True, slots=True)
class _Failure:
    """What is kept of a failed request: nothing that holds the request's headers."""

    status: int  # 0 where no answer came, 200 where it was no answer to the question
    said: str
    retry_after_seconds: float = 0.0

    @property
    def may_pass(self) -> bool:
        return (self.status in (0, 408, 409, 425, 429) or self.status >= 500) and "insufficient_quota" not in self.said


@dataclass(eq=False)
class Service:
    """One service as this process uses it; retries and the spending cap count every request that was sent."""

    name: str
    account: Account
    key: str = field(repr=False)
    dimensions: int
    http: "httpx.Client" = field(repr=False)
    max_requests: int = 1000
    attempts: int = 6
    wait_seconds: float = 1.0  # before the second try; doubled for each further one
    timeout_seconds: float = 60.0

    @classmethod
    def of(cls, card: Card) -> "Service":
        """The service of a card, with the key of this process's environment; raises MissingKey."""
        import httpx

        name = Name.parse(card.name)
        key = require_key(name)
        timeout_seconds = name.number("timeout_msec", 60_000) / 1000
        return cls(
            name=f"{name.family}:{name.model}",
            account=Account(name.family, str(dict(card.settings)["endpoint"]), key_variable(name)),
            key=key,
            dimensions=name.number("dimensions", card.dimensions),
            http=httpx.Client(timeout=timeout_seconds, follow_redirects=False),  # a redirect could name any host
            max_requests=name.number("max_requests", 1000),
            attempts=name.number("attempts", 6),
            wait_seconds=name.number("wait_msec", 1000) / 1000,
            timeout_seconds=timeout_seconds,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a loaded service holds a key and does not travel; send its name")

    def ask(self, send: Callable[[], Sequence[Sequence[float]]], count: int) -> Float32:
        """The `count` rows that `send` gets, (count, dimensions); tried again where waiting may help.

        Raises MissingKey and UsageError for what the service refuses, SpendingCap, ServiceFailed, and BadVectors.
        """
        attempt = 1
        while isinstance(outcome := self._try(send), _Failure):
            self._give_up_on(outcome)
            if attempt >= self.attempts:
                raise ServiceFailed(f"{self.name} failed {attempt} times in a row, the last time with: {outcome.said}")
            self._wait(outcome, attempt)
            attempt += 1
        return self._checked(outcome, count)

    def _try(self, send: Callable[[], Sequence[Sequence[float]]]) -> "list[Any] | _Failure":
        spend(self.account, self.max_requests, name=self.name)
        try:
            return list(send())
        except ReelvecError:
            raise
        except Exception as error:  # clients raise what they like for an answer that they cannot read
            return self._failure(error)

    def _failure(self, error: Exception) -> _Failure:
        status = next((code for code in (_number(error, "status_code"), _number(error, "code")) if code), None)
        if status is None:
            status = 0 if _no_answer(error) else 200
        body = getattr(error, "body", None) or str(error)
        told = f"{type(error).__name__}: {body}"
        if self.account.key_variable:
            told = told.replace(self.key, "***")
        told = " ".join(told.split())
        response = getattr(error, "response", None)
        headers = getattr(response, "headers", None) or getattr(error, "headers", None) or {}
        wait_seconds = _retry_after_seconds(headers, told)
        return _Failure(status, f"{status or 'no answer'} {told[:_SAID_CHARACTERS]}", wait_seconds)

    def _give_up_on(self, failure: _Failure) -> None:
        if 300 <= failure.status < 400:
            raise ServiceFailed(
                f"{self.name} sends its callers to another address, where neither key nor input is sent to; if it is "
                f"the right one, say it as endpoint=... in the name: {failure.said}"
            )
        if failure.status in (401, 498) or "api_key_invalid" in failure.said.lower():
            variable = self.account.key_variable or "no variable (key_variable=none)"
            raise MissingKey(f"{self.name} refuses the key of {variable}; put a valid one there: {failure.said}")
        if failure.status in (403, 404):
            raise UsageError(
                f"{self.name} is not open to this key or is not known there; check model, endpoint and account: "
                f"{failure.said}"
            )
        if failure.status == 200:
            raise ServiceFailed(f"{self.name} answered something else than vectors: {failure.said}")
        if not failure.may_pass:
            raise ServiceFailed(f"{self.name} refused a request: {failure.said}")
        if failure.retry_after_seconds > _LONGEST_WAIT_SECONDS:
            raise ServiceFailed(
                f"{self.name} wants to be asked again in {failure.retry_after_seconds:.0f} s, which is longer than "
                f"the {_LONGEST_WAIT_SECONDS:.0f} s that a request waits; run again then: {failure.said}"
            )

    def _wait(self, failure: _Failure, attempt: int) -> None:
        backoff = min(self.wait_seconds * 2 ** (attempt - 1), _LONGEST_WAIT_SECONDS)
        jitter = backoff * random.uniform(0.5, 1.0)  # many workers shall not come back at once
        seconds = failure.retry_after_seconds + jitter if failure.retry_after_seconds else jitter
        measures.count(measures.RETRIES, of="service")
        _log.warning("%s: %s; asking again in %.1f s", self.name, failure.said, seconds)
        time.sleep(seconds)

    def _checked(self, rows: list[Any], count: int) -> Float32:
        if len(rows) != count:
            raise ServiceFailed(f"{self.name} gave {len(rows)} vectors for {count} inputs")
        try:
            vectors = [np.asarray(row, np.float32) for row in rows]
        except (TypeError, ValueError):
            raise ServiceFailed(f"{self.name} answered something else than vectors") from None
        for vector in vectors:
            if vector.shape != (self.dimensions,):
                raise BadVectors(
                    f"{self.name} gave a vector of shape {vector.shape}, its name says dimensions={self.dimensions}; "
                    "say the number that the service gives"
                )
            if not np.isfinite(vector).all() or not vector.any():
                raise BadVectors(f"{self.name} gave a vector that is not finite or is all zeros")
        return np.stack(vectors) if vectors else np.zeros((0, self.dimensions), np.float32)


@dataclass(eq=False)
class ServiceNetwork(Network):
    """A service's client, with what the card says about asking it."""

    service: Service
    client: Any = field(repr=False)
    card: Card
    where: Where

    def __reduce__(self) -> NoReturn:
        raise TypeError("a loaded service holds a key and does not travel; send its name")

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Pieces of up to three Latin letters or digits, and single other characters: seldom fewer than tokens."""
        return [found.span() for found in re.finditer(r"[A-Za-z0-9]{1,3}|\S", text)]

    def in_requests(self, texts: Sequence[str], most_tokens: int) -> Iterator[Sequence[str]]:
        """The texts in order, cut where their tokens together would be more than one request may hold."""
        start, held = 0, 0
        for place, text in enumerate(texts):
            tokens = len(self.token_spans(text))
            if held and held + tokens > most_tokens:
                yield texts[start:place]
                start, held = place, 0
            held += tokens
        if start < len(texts):
            yield texts[start:]

    def close(self) -> None:
        """Let go of the client's connections."""
        self.service.http.close()


def fields_of(name: Name, option: str) -> dict[str, Any]:
    """Further fields of a request's body, written as `key:value,key:value`.

    Raises UsageError for another form and for a field that would hold a key; without the values, which may be keys.
    """
    fields: dict[str, Any] = {}
    for part in filter(None, name.option(option).split(",")):
        key, colon, value = part.partition(":")
        if not colon or not key or key in ("model", "input", "dimensions"):
            raise UsageError(
                f"{option} are further fields of a request, key:value,key:value, and none of model, input and "
                f"dimensions: {name.shown}"
            )
        if re.search(_SECRET, key.lower().replace("-", "").replace("_", "")):
            raise UsageError(
                f"{option} holds no keys, a recipe would show them: leave {key!r} out, put the key into the "
                f"environment and say key_variable=NAME: {name.shown}"
            )
        fields[key] = {"true": True, "false": False}.get(value, int(value) if value.isdecimal() else value)
    return fields


def _number(error: Exception, attribute: str) -> int | None:
    value = getattr(error, attribute, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _no_answer(error: Exception) -> bool:
    """Whether a request never got an answer: time was up, or there was no connection."""
    names = {one.__name__ for one in type(error).__mro__}
    return bool(names & {"TransportError", "APIConnectionError", "TimeoutError", "ConnectionError"})


def _retry_after_seconds(headers: Mapping[str, str], told: str = "") -> float:
    """What the headers say, or else Gemini's RetryInfo in the body, in seconds from now; 0.0 where neither does."""
    with suppress(ValueError):
        return max(0.0, float(headers.get("retry-after-ms", "")) / 1000)
    text = str(headers.get("retry-after", ""))
    with suppress(ValueError):
        return max(0.0, float(text))
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    delay = re.search(r"""retryDelay['"]?: ?['"](\d+(?:\.\d+)?)s""", told)
    return float(delay[1]) if delay else 0.0
