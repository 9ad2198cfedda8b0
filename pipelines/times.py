"""Times as people write and read them: 90, 90s, 1:30, 0:01:30, 5m."""

import math
import re
from datetime import UTC, datetime, timedelta

from transforms.errors import UsageError

_SECONDS_OF = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")
_PLAIN = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_UNITS = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+)ms)?")


def parse_seconds(text: str) -> float:
    """Seconds from "90", "90s", "1.5", "1:30", "0:01:30", "5m" or "1h30m"; raises UsageError for anything else."""
    given = text.strip().lower()
    if _PLAIN.fullmatch(given):
        return float(given)
    if clock := _CLOCK.fullmatch(given):
        hours, minutes, seconds = int(clock[1] or 0), int(clock[2]), float(clock[3])
        if seconds < 60 and (clock[1] is None or minutes < 60):
            return hours * 3600.0 + minutes * 60.0 + seconds
    elif given and (units := _UNITS.fullmatch(given)):
        return math.fsum(float(units[name]) * size for name, size in _SECONDS_OF.items() if units[name])
    raise UsageError(f"a time is written as 90, 90s, 1:30, 0:01:30 or 5m: {text!r}")


def clock(seconds: float) -> str:
    """Seconds as a player shows them, 1:30.5 or 0:01:30.5 with hours from one hour on; tenths are cut, not rounded."""
    tenths = math.floor(round(abs(seconds) * 10, 3))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and tenths else ""
    whole, tenth = divmod(rest, 10)
    shown = f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"
    return f"{sign}{shown}.{tenth}" if tenth else f"{sign}{shown}"


def lasting(seconds: float) -> str:
    """How long something takes, for people: 45 s, 2 min 05 s, 1 h 02 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def parse_since(text: str, *, now: datetime | None = None) -> datetime:
    """A moment: "1h", "30m" or "2d" ago, "today", "yesterday", or an ISO 8601 date or time; raises UsageError.

    Times without a zone are this machine's; `now` is aware.
    """
    now = now or datetime.now(UTC)
    given = text.strip()
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    if given.lower() in ("today", "yesterday"):
        return midnight - timedelta(days=given.lower() == "yesterday")
    try:
        if days := re.fullmatch(r"(\d+(?:\.\d+)?)d", given):
            return now - timedelta(days=float(days[1]))
        if re.fullmatch(r"(?:[\d.]+(?:h|m|s|ms))+", given):
            return now - timedelta(seconds=parse_seconds(given))
        return datetime.fromisoformat(given).astimezone()
    except (ValueError, OverflowError, UsageError) as error:
        raise UsageError(
            f"a moment is written as 1h, 2d, today, yesterday, 2026-11-30 or 2026-11-30T06:00: {text!r}"
        ) from error
