"""Where a model lies on this machine: its own folder, the hub's cache or a bucket's copy. Downloads nothing."""

import json
import os
import re
import shlex
from pathlib import Path

from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.encoders.weights import cache_folder
from transforms.errors import MissingWeights, UsageError

_BRANCH = "main"


def locate(name: Name, repository: str) -> Path:
    """The folder of a model's files, or the file that the name asks for; never downloads.

    `repository` is the hub's id, with the path of a file or folder inside it behind it where only that is meant.
    Raises MissingWeights, which says how to get them.
    """
    if name.is_local:
        place = Path(name.model).expanduser().absolute()
        if not place.exists():
            raise MissingWeights(f"there is no folder {place} of weights for {name}")
        return place
    if family(name.family).weights == "corpus":
        raise MissingWeights(
            f"{name} names no folder (./..., /...); fit one with: reelvec fit text {name.family} --out"
        )
    if name.is_bucket:
        copy = bucket_copy(name.model)
        if not marker_of(copy).is_file() or not copy.exists():
            raise MissingWeights(f"the weights of {name} are not here; {cure(name)}")
        return copy
    owner, inside = split_repository(repository)
    found = snapshot(owner, name.revision)
    if found is None:
        others = ", ".join(revisions(owner))
        known = f"; of {owner} there is only {others} here" if others else ""
        raise MissingWeights(f"the weights of {name} are not here{known}; {cure(name)}")
    place = found / inside
    if not place.exists() or (missing := _missing_parts(place)):
        what = f"{owner}/{inside}" if not place.exists() else f"{missing[0]} of {owner}"
        raise MissingWeights(f"the weights of {name} are not complete here: {what} is missing; {cure(name)}")
    return place


def cure(name: Name) -> str:
    """What gets the weights of this encoder."""
    return f"get them with: reelvec weights pull --encoder {shlex.quote(str(name))}"


def hub_cache() -> Path:
    """The cache that it shares with every program that uses the hub: $HF_HUB_CACHE, or `hub` in $HF_HOME."""
    environment = os.environ
    home = environment.get("HF_HOME") or f"{environment.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    given = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(given)).expanduser()


def repository_folder(repository: str) -> Path:
    """Where the hub's cache keeps this repository: `refs`, `snapshots` and `blobs`."""
    return hub_cache() / f"models--{repository.replace('/', '--')}"


def split_repository(repository: str) -> tuple[str, str]:
    """The hub's id, and the path inside of it: "org/name/vectors.txt" -> ("org/name", "vectors.txt")."""
    owner, _, rest = repository.partition("/")
    model, _, inside = rest.partition("/")
    if ".." in repository.split("/"):
        raise UsageError(f"this is no hub id: {repository!r}")
    return (f"{owner}/{model}" if model else owner), inside


def snapshot(repository: str, revision: str) -> Path | None:
    """The folder of one revision, of the default branch for ""; None where it is not here."""
    folder = repository_folder(repository)
    commit = commit_of(repository, revision)
    return folder / "snapshots" / commit if commit and (folder / "snapshots" / commit).is_dir() else None


def commit_of(repository: str, revision: str) -> str:
    """The commit that a branch, a tag or the beginning of a commit stands for here; "" where that is unknown."""
    folder = repository_folder(repository)
    if ".." in revision.split("/"):
        raise UsageError(f"this is no revision: {revision!r}")
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    reference = folder / "refs" / (revision or _BRANCH)
    if reference.is_file():
        return reference.read_text().strip()
    begun = [commit for commit in revisions(repository) if len(revision) >= 7 and commit.startswith(revision)]
    return begun[0] if len(begun) == 1 else ""


def revisions(repository: str) -> list[str]:
    """The commits of a repository that are here, whole or in part."""
    folder = repository_folder(repository) / "snapshots"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def repositories() -> list[str]:
    """The models in the hub's cache, of which a default revision is here."""
    found = (path.name.removeprefix("models--").replace("--", "/") for path in sorted(hub_cache().glob("models--*")))
    return [repository for repository in found if snapshot(repository, "") is not None]


def bucket_copy(url: str) -> Path:
    """Where the copy of a bucket's folder or file lies: `$REELVEC_CACHE/buckets/gs/my-bucket/...`."""
    scheme, _, path = url.partition("://")
    parts = [part for part in path.split("/") if part]
    if not parts or ".." in parts or not scheme.isalnum():
        raise UsageError(f"a bucket's address is gs://BUCKET/PATH or s3://BUCKET/PATH: {url!r}")
    return cache_folder().joinpath("buckets", scheme, *parts)


def marker_of(copy: Path) -> Path:
    """The file that says what the copy of a bucket holds; it is written when the copy is complete."""
    return copy.with_name(f"{copy.name}.pulled.json")


def _missing_parts(folder: Path) -> list[str]:
    """The files that an index of tensors names and that are not there."""
    missing: list[str] = []
    for path in folder.glob("*.safetensors.index.json"):
        try:
            named = set(json.loads(path.read_text())["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MissingWeights(
                f"the model's {path.name} cannot be read: {path}: {error}; pull the weights again"
            ) from error
        missing += sorted(file for file in named if not (folder / str(file)).is_file())
    return missing
