"""What a run will need, going by what the index and its earlier runs say: clips, seconds of video, room, money."""

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.errors import DiskFull, UsageError
from transforms.index.location import IndexLocation
from transforms.index.spaces import home_of
from transforms.recipe import Recipe
from transforms.records import LedgerEntry, Schema, Work

PRICES_VARIABLE = "REELVEC_PRICES"

#: The live shard and the copy that readers see.
_COPIES = 2
#: Text, times and ids of a clip, and its part of the log and of the graphs, beside its vectors.
_CLIP_BYTES = 4096
_FRAMES_PER_CLIP = 8
#: Below this the engine's own reserve is most of what an index takes, and says nothing of a clip.
_TELLING_CLIPS = 1000


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the videos that are searchable now were like, all together."""

    size_bytes: int = 0
    seconds: float = 0.0
    clips: int = 0

    @classmethod
    def of(cls, entries: Iterable[LedgerEntry]) -> "Corpus":
        """Those videos whose file is the one that is searchable."""
        size_bytes, seconds, clips = 0, 0.0, 0
        for entry in entries:
            if entry.live_content and entry.live_content == entry.content:
                size_bytes += entry.size_bytes
                seconds += entry.duration_seconds
                clips += entry.clips
        return cls(size_bytes, seconds, clips)

    def expect(self, work: Sequence[Work]) -> "Corpus | None":
        """What these videos will be if a byte of them holds as much as one of the corpus; None for an empty corpus."""
        if not self.size_bytes or not self.seconds:
            return None
        size_bytes = sum(each.video.size_bytes for each in work)
        share = size_bytes / self.size_bytes
        return Corpus(size_bytes, self.seconds * share, round(self.clips * share))


@dataclass(frozen=True, slots=True)
class Prices:
    """A price table; what it does not name costs nothing."""

    usd_per_machine_hour: float = 0.0
    usd_per_clip: Mapping[str, float] = field(default_factory=dict)  # by encoder, or by family of encoders

    def usd(self, recipe: Recipe, sections: Iterable[str], *, hours: float, clips: int) -> float:
        """What a machine costs for so long, and services for so many clips."""
        per_clip = 0.0
        for name in {recipe.encoders()[section] for section in sections if section in recipe.encoders()}:
            if family(Name.parse(name).family).weights == "service":
                per_clip += self.usd_per_clip.get(name, self.usd_per_clip.get(Name.parse(name).family, 0.0))
        return hours * self.usd_per_machine_hour + clips * per_clip


def read_prices(path: Path | None) -> Prices | None:
    """The price table of a TOML file, or of the one that REELVEC_PRICES names; None without either.

    Raises UsageError for a file that cannot be read, unknown keys and prices that are none.
    """
    named = path or (Path(os.environ[PRICES_VARIABLE]) if os.environ.get(PRICES_VARIABLE) else None)
    if named is None:
        return None
    try:
        held = tomllib.loads(named.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the price table {str(named)!r} cannot be read, it is a TOML file: {error}") from error
    unknown = held.keys() - {"usd_per_machine_hour", "usd_per_clip"}
    if unknown:
        raise UsageError(
            f"a price table has usd_per_machine_hour and a section [usd_per_clip], not {min(unknown)!r}: {named}"
        )
    per_clip = held.get("usd_per_clip", {})
    if not isinstance(per_clip, dict):
        raise UsageError(f'[usd_per_clip] is a section of encoders and prices, as "openai" = 0.0001: {named}')
    return Prices(
        _price("usd_per_machine_hour", held.get("usd_per_machine_hour", 0.0), named),
        {name: _price(name, value, named) for name, value in per_clip.items()},
    )


def check_room_for(
    location: IndexLocation,
    schema: Schema,
    ledger: Mapping[str, LedgerEntry],
    work: Sequence[Work],
    min_free_megabytes: int,
) -> None:
    """Raise DiskFull where the clips that are expected would leave less room than that on the disk of an Edge index.

    Without a searchable video nothing can be expected, and nothing is checked.
    """
    if location.kind != "edge" or not work or not min_free_megabytes:
        return
    corpus = Corpus.of(ledger.values())
    expected = corpus.expect(work)
    if expected is None:
        return
    needed_bytes = expected.clips * bytes_per_clip(location, schema, corpus.clips) * _COPIES
    stats = os.statvfs(location.path)
    free_bytes = stats.f_bavail * stats.f_frsize
    if free_bytes - needed_bytes < min_free_megabytes * 2**20:
        raise DiskFull(
            f"about {expected.clips} clips of {len(work)} videos would take {needed_bytes / 2**20:.0f} MiB where the "
            f"index lives ({location}), {free_bytes / 2**20:.0f} MiB are free and {min_free_megabytes} MiB have to "
            "stay so; make room, take fewer videos at once (--max-videos), or put --index elsewhere"
        )


def bytes_per_clip(location: IndexLocation, schema: Schema, clips: int) -> int:
    """What a clip takes on disk: as measured over an index that holds many, else by the sizes of its vectors."""
    sizes = (vector.dimensions * (_FRAMES_PER_CLIP if vector.multi else 1) for vector in schema.dense)
    by_vectors = 4 * sum(sizes) + _CLIP_BYTES
    if clips < _TELLING_CLIPS:
        return by_vectors
    return max(by_vectors // 2, _bytes_below(home_of(location).path / "live") // clips)


def _bytes_below(folder: Path) -> int:
    """What the files take on disk, holes apart."""
    taken = 0
    for below, _, names in os.walk(folder):
        for name in names:
            try:
                taken += os.stat(os.path.join(below, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return taken


def _price(name: str, value: Any, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < float("inf"):
        raise UsageError(f"a price is a number of dollars, not less than 0: {name} = {value!r} in {path}")
    return float(value)
