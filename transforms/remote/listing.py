"""What lies below a prefix of a bucket, or what a glob means there, and what lies at many addresses at once."""

import glob
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from transforms.errors import RemoteRefused, UsageError
from transforms.patterns import components, matches
from transforms.remote.names import bucket_and_key, normalised
from transforms.remote.settings import RemoteSettings
from transforms.remote.store import Broken, Found, Store, store_of
from transforms.remote.tries import tried

#: Addresses that are looked up at once.
_LOOKUPS = 8


@dataclass(frozen=True, slots=True)
class Below:
    """A folder of a bucket, as its names have it, and the pattern of a glob in it."""

    base: str  # address of the folder, without a / at its end
    pattern: str  # "": everything
    begins: str  # with what every address begins that can match

    @classmethod
    def of(cls, uri: str) -> "Below":
        """What a prefix or a glob means: `s3://b/cam*/x.mp4` is `cam*/x.mp4` in `s3://b`, and begins with `s3://b/cam`."""
        _, key = bucket_and_key(uri)
        parts = key.rstrip("/").split("/") if key.rstrip("/") else []
        plain = next((place for place, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        base = "/".join([uri.removesuffix(key).rstrip("/"), *parts[:plain]])
        pattern = "/".join(parts[plain:])
        marks = [place for mark in "*?[" if (place := uri.find(mark)) >= 0]
        return cls(base, pattern, uri[: min(marks)] if pattern else f"{base}/")

    def objects(self, store: Store) -> Iterator[Found]:
        """All objects that are meant, page by page; names that end with / stand for folders. Raises Broken."""
        wanted, above = components(self.pattern), len(self.base) + 1
        for page in store.pages(self.begins):
            for found in page:
                names = found.uri[above:].split("/")
                if names[-1] and found.uri.startswith(f"{self.base}/") and matches(names, wanted):
                    yield found


def looked_up(sources: Sequence[str], settings: RemoteSettings) -> list[Found | Exception | None]:
    """What lies at each address as somebody wrote it, None where nothing does, or why that is not known."""

    def look(source: str) -> Found | Exception | None:
        try:
            uri = normalised(source)
            store = store_of(uri, settings)
            return tried(lambda: store.look(uri), first_pause_seconds=settings.first_pause_seconds)
        except (Broken, RemoteRefused, UsageError) as error:
            return error

    if not sources:
        return []
    with ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="look") as pool:
        return list(pool.map(look, sources))
