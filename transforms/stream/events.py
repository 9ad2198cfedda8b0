"""Messages -> events: Reelvec's own JSON, and what buckets send.

Each form is told from the others by what only it has. What cannot be read raises MalformedEvent.
"""

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, unquote_plus

from transforms.errors import MalformedEvent
from transforms.order import place
from transforms.records import Scalar
from transforms.uris import is_local, path_of_uri, uri_of_path

Kind = Literal["create", "change", "delete", "check"]

#: An event that lies further ahead than this would keep out all that come before its time.
MOST_HOURS_AHEAD = 24.0
MOST_METADATA = 100
_SCHEMES = ("file", "http", "https", "s3", "gs")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)")
_HEX = re.compile(r"[0-9A-Fa-f]{1,64}")
_FIELDS = {"type", "uri", "time", "size", "version", "etag", "generation", "metadata"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to one video; `order` is its place among the events of that video (`transforms.order`).

    A `check` may be a change or a deletion: whether the file is there decides.
    """

    kind: Kind
    uri: str
    order: str
    size_bytes: int | None = None
    metadata: tuple[tuple[str, Scalar], ...] | None = None  # None: says nothing of it


def events_of(data: bytes, attributes: Mapping[str, str] | None = None) -> list[Event]:
    """The events that a message holds; none in one that says nothing of any bytes. Raises MalformedEvent."""
    attributes = attributes or {}
    if "eventType" in attributes and "bucketId" in attributes:
        return _of_gcs(attributes, data)
    return _of_document(_object(data))


def _of_document(document: Mapping[str, Any], *, inside: bool = False) -> list[Event]:
    if isinstance(document.get("Records"), list):
        return [event for record in document["Records"] for event in _of_s3(record)]
    if document.get("Event") == "s3:TestEvent":
        return []
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str) and not inside:
        return _of_document(_object(document["Message"].encode(errors="replace")), inside=True)
    return [_of_own(document)]


def _of_own(document: Mapping[str, Any]) -> Event:
    if unknown := document.keys() - _FIELDS:
        raise MalformedEvent(f"an event has no field {min(unknown)!r}; its fields are {', '.join(sorted(_FIELDS))}")
    kind = document.get("type")
    if kind not in ("create", "change", "delete"):
        raise MalformedEvent(f"the type of an event is create, change or delete: {_said(kind)}")
    generation = document.get("generation")
    if generation is not None:
        generation = _count(generation, "generation")
    for name in ("version", "etag"):
        if document.get(name) is not None and not isinstance(document[name], str):
            raise MalformedEvent(f"the {name} of an event is text: {_said(document[name])}")
    return Event(
        kind,
        checked_uri(document.get("uri")),
        _placed(document.get("time"), kind, generation=generation),
        None if document.get("size") is None else _count(document["size"], "size"),
        _metadata(document.get("metadata")),
    )


def _of_s3(record: Any) -> list[Event]:
    """A record of S3, and of what speaks its language. Keys are percent-encoded, with + for a space."""
    try:
        name, found = str(record["eventName"]).removeprefix("s3:"), record["s3"]["object"]
        bucket, key = str(record["s3"]["bucket"]["name"]), unquote_plus(found["key"], errors="surrogateescape")
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedEvent(
            f"a record of a bucket has eventName, s3.bucket.name and s3.object.key: {error}"
        ) from error
    kind: Kind
    if name.startswith("ObjectCreated:"):
        kind = "create"
    elif name == "ObjectRemoved:Delete" and found.get("versionId"):
        kind = "check"  # one version of several went for good, which need not be the one that is seen
    elif name.startswith(("ObjectRemoved:", "LifecycleExpiration:")):
        kind = "delete"
    else:
        return []
    sequencer = found.get("sequencer") or ""
    if sequencer and not (isinstance(sequencer, str) and _HEX.fullmatch(sequencer)):
        raise MalformedEvent(f"the sequencer of a bucket's event is hexadecimal: {_said(sequencer)}")
    order = _placed(record.get("eventTime"), kind, sequencer=sequencer)
    size = found.get("size")
    uri = checked_uri(f"s3://{bucket}/{quote(key.encode(errors='surrogateescape'))}")
    return [Event(kind, uri, order, _count(size, "size") if size is not None and kind == "create" else None)]


def _of_gcs(attributes: Mapping[str, str], data: bytes) -> list[Event]:
    """A notification of Cloud Storage: what counts is in the attributes, the size in the object that may come along."""
    kind: Kind
    if attributes["eventType"] == "OBJECT_FINALIZE":
        kind = "create"
    elif attributes["eventType"] in ("OBJECT_DELETE", "OBJECT_ARCHIVE"):
        kind = "delete"
    else:
        return []
    try:
        bucket, name, generation = (attributes[field] for field in ("bucketId", "objectId", "objectGeneration"))
    except KeyError as error:
        raise MalformedEvent(f"a notification of a bucket has the attribute {error}") from error
    if not generation.isdecimal():
        raise MalformedEvent(f"the objectGeneration of a notification is a number: {_said(generation)}")
    order = _placed(attributes.get("eventTime"), kind, generation=_count(int(generation), "objectGeneration"))
    size = _object(data).get("size") if attributes.get("payloadFormat") == "JSON_API_V1" and data else None
    size_bytes = _count(int(size), "size") if isinstance(size, str) and size.isdecimal() and kind == "create" else None
    return [Event(kind, checked_uri(f"gs://{bucket}/{quote(name, errors='replace')}"), order, size_bytes)]


def checked_uri(uri: Any) -> str:
    """The one spelling of a URI that can name a video."""
    if not isinstance(uri, str) or len(uri) > 4096:
        raise MalformedEvent(f"the uri of an event is text of 4096 characters at most: {_said(uri)}")
    scheme, mark, rest = uri.partition("://")
    if not mark or scheme not in _SCHEMES or not rest.strip("/"):
        raise MalformedEvent(f"a uri begins with {'://, '.join(_SCHEMES)}:// and names something: {_said(uri)}")
    if not is_local(uri):
        return str(_clean(uri, "uri"))
    if not rest.startswith("/") or "%00" in rest or "\0" in rest:
        raise MalformedEvent(f"a file:// URI is followed by an absolute path: {_said(uri)}")
    return uri_of_path(path_of_uri(str(_clean(uri, "uri"))))


def _placed(said: Any, kind: Kind, *, generation: int | None = None, sequencer: str = "") -> str:
    found = _TIME.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        raise MalformedEvent(f"the time of an event is like 2026-11-30T14:20:00.5Z, with its zone: {_said(said)}")
    try:
        zone = "+00:00" if found[4] in "Zz" else found[4]
        whole = datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedEvent(f"there is no such time: {_said(said)} ({error})") from error
    seconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    hours_ahead = (seconds - time.time()) / 3600
    if seconds < 0 or hours_ahead > MOST_HOURS_AHEAD:
        raise MalformedEvent(f"an event lies before 1970, or {MOST_HOURS_AHEAD:g} hours ahead and more: {_said(said)}")
    time_ns = seconds * 10**9 + int((found[3] or "0").ljust(9, "0"))
    return place(time_ns, generation=generation, sequencer=sequencer, kind="delete" if kind == "delete" else "create")


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedEvent(f"a message is JSON: {str(error)[:200]}: {data[:80]!r}") from error
    if not isinstance(document, dict):
        raise MalformedEvent(f"a message is a JSON object: {data[:80]!r}")
    return document


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise MalformedEvent(f"the {name} of an event is a whole number from 0: {_said(value)}")
    return value


def _metadata(given: Any) -> tuple[tuple[str, Scalar], ...] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or len(given) > MOST_METADATA:
        raise MalformedEvent(f"the metadata of an event is an object of {MOST_METADATA} fields at most: {_said(given)}")
    return tuple(sorted((str(_clean(name, name)), _clean(value, name)) for name, value in given.items()))


def _clean(value: Any, name: str) -> Scalar:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise MalformedEvent(f"half a character is no text: {name[:80]!r}") from error
        return value
    if isinstance(value, bool) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise MalformedEvent(f"metadata is text, finite numbers and truth values: {name[:80]!r} is {_said(value)}")


def _said(value: Any) -> str:
    return f"{value!r:.120}"
