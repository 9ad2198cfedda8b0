"""Structured logs: one JSON object a line on standard error, with the video and the segment that it is about.

Secrets are kept out by value: what the environment holds under a name that says so, and what URIs carry before an `@`
or in a parameter that signs them, is written as `***`.
"""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

#: What of a record's own fields is written; the rest of a record is Python's.
_FIELDS = ("event", "video", "content", "segment", "segments", "clips", "state", "causes")
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)$")
_SHORTEST_SECRET = 8
_IN_URI = (
    re.compile(r"(?<=://)[^/@\s]+(?=@)"),
    re.compile(
        r"(?<=[?&])((?:x-amz-|x-goog-)?(?:signature|credential|security-token)|sig|token|access_token|api_?key|key)"
        r"=[^&\s\"']+",
        re.IGNORECASE,
    ),
)
_OURS = ("pipelines", "transforms", "reelvec")
_before: list[logging.Handler] | None = None  # the handlers of text, while logs are JSON

log = logging.getLogger("reelvec")


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(line, ensure_ascii=True, default=str))


def without_secrets(text: str) -> str:
    """The text with every secret of this process's environment and of its URIs replaced."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name.upper()):
            text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
    text = _IN_URI[0].sub("***", text)
    return _IN_URI[1].sub(lambda found: f"{found[1]}=***", text)


def use_json(stream: TextIO | None = None) -> None:
    """From now on this process logs JSON lines, its own progress from INFO, other libraries from WARNING."""
    global _before
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for kept in (kept for before in root.handlers for kept in before.filters):
        handler.addFilter(kept)  # what is not for people in text is not for them in JSON
    _before = _before if _before is not None else root.handlers[:]
    root.handlers[:] = [handler]
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def use_text() -> None:
    """The opposite, which is how a command begins."""
    global _before
    if _before is None:
        return
    logging.getLogger().handlers[:] = _before
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)
    _before = None


def is_json() -> bool:
    """Whether logs are JSON lines."""
    return _before is not None


def tell(text: str, *, plain: str | None = None, level: int = logging.INFO) -> None:
    """One line for whoever looks on: `plain` or the text itself on a terminal, a record in JSON."""
    if is_json():
        log.log(level, "%s", text)
    else:
        print(text if plain is None else plain, file=sys.stderr, flush=True)


def notice(text: str) -> bytes:
    """What a signal handler writes with `os.write`, where nothing may be locked."""
    if not is_json():
        return f"\n{text}\n".encode()
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return (json.dumps({"time": at, "level": "warning", "logger": "reelvec", "message": text}) + "\n").encode()
