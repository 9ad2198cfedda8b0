"""The corpus against the ledger: what a reindex would find. Nothing of it is mended here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipelines.fsck.problem import Problem
from pipelines.rejects import rejects_path
from pipelines.settings import IngestSettings
from transforms.content import content_of
from transforms.index.location import IndexLocation
from transforms.records import LedgerEntry, VideoRef
from transforms.remote.names import is_remote
from transforms.source import list_videos
from transforms.uris import path_of_uri, shown

_CURE = "reelvec reindex"


def corpus_compared(
    sources: Sequence[str], entries: Mapping[str, LedgerEntry], location: IndexLocation
) -> Iterator[Problem]:
    """Files that are new, changed or gone. Raises UsageError for a source that is not there.

    A file whose size or time differs is hashed: one that was only touched has not changed. Remote files are not
    fetched: what their store calls another version counts as changed.
    """
    remote = IngestSettings().remote
    listing = list_videos(sources, ignore=(rejects_path(location),), known=entries, remote=remote)
    for sentence in listing.problems:
        yield Problem("corpus_unreadable", "", sentence, "see that it can be read, and look again")
    for video in listing.videos:
        entry = entries.get(video.uri)
        if entry is None:
            yield _problem("corpus_new", video.uri, "a file is not in the index")
        elif entry.state == "deleted":
            yield _problem("corpus_new", video.uri, "an event said that this file is deleted, and it is there")
        elif entry.state != "forgotten" and _changed(video, entry):
            yield _problem("corpus_changed", video.uri, "a file has changed since it was indexed")
    listed = {video.uri for video in listing.videos}
    for root in listing.roots:
        emptied = replace(root, believed=True)
        held = [uri for uri, entry in entries.items() if entry.live_content and emptied.covers(uri, entry.origin)]
        if root.ok and not root.listed and held:
            sentence = f"nothing is left of {shown(root.origin)}, of which the index has {len(held)} videos"
            cure = f"mount what is not mounted; if they are really gone: {_CURE} --max-delete 100%"
            yield Problem("corpus_missing", root.origin, sentence, cure)
    for uri, entry in entries.items():
        covered = any(root.covers(uri, entry.origin) for root in listing.roots)
        if covered and uri not in listed and entry.state not in ("forgotten", "deleted"):
            yield _problem("corpus_vanished", uri, "a video of the index is gone from the corpus")


def _changed(video: VideoRef, entry: LedgerEntry) -> bool:
    if (video.size_bytes, video.version) == (entry.size_bytes, entry.version):
        return False
    try:
        return (
            is_remote(video.uri)
            or video.size_bytes != entry.size_bytes
            or content_of(path_of_uri(video.uri)) != entry.content
        )
    except OSError:
        return True


def _problem(kind: str, uri: str, what: str) -> Problem:
    return Problem(kind, uri, f"{what}: {shown(uri)}", _CURE, uri=uri)
