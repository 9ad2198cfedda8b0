"""One model from a hub into the cache that it shares with every program that uses the hub."""

import re
from dataclasses import replace
from typing import Any

from transforms.encoders import hub
from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.encoders.remote import Arrived, Progress, Remote, alone, check_room, growing, is_right, put, wanted
from transforms.encoders.weights import write_whole
from transforms.errors import MissingWeights


def from_hub(name: Name, progress: Progress) -> Arrived:
    """Bring what is missing; the revision's name is written when all of it is here. Raises the client's errors."""
    repository, inside = hub.split_repository(repository_of(name))
    commit, there = _listing(repository, name.revision)
    chosen = set(wanted((one.file for one in there), name, inside=inside))
    files = [one for one in there if one.file in chosen]
    folder = hub.repository_folder(repository)
    place = folder / "snapshots" / commit
    missing = [one for one in files if not is_right(place / one.file, one)]
    size_bytes = sum(one.size_bytes for one in missing)
    progress.started(str(name), size_bytes)
    check_room(folder, missing)
    for one in missing:
        _fetch(repository, commit, one, progress)
    reference = folder / "refs" / (name.revision or "main")
    if name.revision != commit and (not reference.is_file() or reference.read_text() != commit):
        write_whole(reference, commit)
    progress.finished(str(name))
    relative = (
        tuple(replace(one, file=one.file.removeprefix(f"{inside}/")) for one in files) if inside else tuple(files)
    )
    return Arrived(repository, commit, place / inside, relative, size_bytes)


def repository_of(name: Name) -> str:
    """The hub's id of a name, with a path inside of it where the family wants one file."""
    given = getattr(family(name.family).load_module(), "repository", None)
    return str(given(name)) if given else name.model


def _listing(repository: str, revision: str) -> tuple[str, list[Remote]]:
    """The commit that a revision stands for, and its files."""
    from huggingface_hub import HfApi

    found = HfApi().model_info(repository, revision=revision or None, files_metadata=True)
    if not re.fullmatch("[0-9a-f]{40}", str(found.sha)):
        raise MissingWeights(f"the hub names no commit of {repository} that can be trusted: {found.sha!r}")
    files = [
        Remote(
            file=one.rfilename,
            size_bytes=one.size or 0,
            version=one.lfs.sha256 if one.lfs else one.blob_id or "",
            sha256=one.lfs.sha256 if one.lfs else "",
        )
        for one in found.siblings or ()
    ]
    return str(found.sha), files


def _fetch(repository: str, commit: str, one: Remote, progress: Progress) -> None:
    """One file into the hub's cache, unless another process brings it meanwhile."""
    folder = hub.repository_folder(repository)
    with alone(folder / "blobs" / one.version):
        if is_right(folder / "snapshots" / commit / one.file, one):
            progress.advanced(one.size_bytes)
        else:
            _bring(repository, commit, one, progress)


def _bring(repository: str, commit: str, one: Remote, progress: Progress) -> None:
    """One file: its blob by the hub client, from where an earlier try stopped; then its name."""
    from huggingface_hub import hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    folder = hub.repository_folder(repository)
    blob = folder / "blobs" / one.version
    (folder / "snapshots" / commit / one.file).unlink(missing_ok=True)
    if not is_right(blob, one):
        blob.unlink(missing_ok=True)
        part = growing(blob, one)
        with part.open("r+b") as file:
            here = file.seek(0, 2)
            progress.advanced(here)
            http_get(
                hf_hub_url(repository, one.file, revision=commit),
                file,
                resume_size=here,
                headers=build_hf_headers(),
                expected_size=one.size_bytes,
                displayed_filename=one.file,
                tqdm_class=_counter(progress),
            )
        put(part, blob, one, of=repository)
    hf_hub_download(repository, one.file, revision=commit, cache_dir=hub.hub_cache())


def _counter(progress: Progress) -> type[Any]:
    """A bar as the hub client wants one, which only counts."""

    class Counter:
        def __init__(self, *args: Any, **settings: Any) -> None: ...

        def __enter__(self) -> "Counter":
            return self

        def __exit__(self, *failure: object) -> None: ...

        def update(self, count: float | None = 1) -> None:
            progress.advanced(int(count or 0))

        def close(self) -> None: ...

    return Counter
