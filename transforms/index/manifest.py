"""What an index says of itself: the version of its format, its schema and who made it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from transforms.errors import IndexFormatError, RecipeMismatch
from transforms.index.payloads import FIRST, revision
from transforms.records import DenseVector, Schema

#: Raised when the layout of folders, points or payloads changes.
FORMAT = 1
#: Of a manifest that names the space in use, which a Reelvec that knows no spaces must not pass over.
REDIRECT_FORMAT = 2
#: Of a manifest whose index may have payloads of a later revision than the first.
PAYLOADS_FORMAT = 3

MANIFEST = "reelvec.json"


def reelvec_version() -> str:
    """The installed version of Reelvec, "" when it runs from its source tree."""
    try:
        return version("reelvec")
    except PackageNotFoundError:
        return ""


def manifest_of(schema: Schema) -> dict[str, Any]:
    """The manifest of a new index, as JSON holds it."""
    held = asdict(schema)
    payloads = held.pop("payloads")
    return with_payloads({"format": FORMAT, "reelvec": reelvec_version(), "schema": held}, payloads)


def with_payloads(manifest: Mapping[str, Any], payloads: int) -> dict[str, Any]:
    """The manifest of an index whose payloads may be of this revision; of the first it says nothing, as ever."""
    if payloads == FIRST:
        return dict(manifest)
    return {**manifest, "format": PAYLOADS_FORMAT, "reelvec": reelvec_version(), "payloads": payloads}


def redirect_of(manifest: Mapping[str, Any], space: str) -> dict[str, Any]:
    """The manifest of an index whose space in use is a subfolder; `manifest` is that of the space."""
    return {**manifest, "format": max(manifest["format"], REDIRECT_FORMAT), "space": space}


def schema_of(manifest: Mapping[str, Any], *, shown: str) -> Schema:
    """The schema in a manifest; raises IndexFormatError for another format or newer payloads, naming the cure."""
    found = manifest.get("format")
    named = REDIRECT_FORMAT if "space" in manifest else FORMAT
    if found != (PAYLOADS_FORMAT if "payloads" in manifest else named):
        newer = isinstance(found, int) and found > FORMAT
        cure = "use a newer Reelvec" if newer else "ingest again into another --index"
        raise IndexFormatError(
            f"the index is of another format: {shown} has format={found!r}, "
            f"made by Reelvec {manifest.get('reelvec') or '?'}, this one reads format={FORMAT}; {cure}"
        )
    try:
        held = dict(manifest["schema"])
        held["dense"] = tuple(DenseVector(**vector) for vector in held["dense"])
        held["sparse"] = tuple(held["sparse"])
        schema = Schema(**held, payloads=int(manifest.get("payloads", FIRST)))
    except (KeyError, TypeError, ValueError) as error:
        raise IndexFormatError(f"the index's description is damaged: {shown} ({error!r}); ingest again") from error
    if schema.payloads > revision():
        raise IndexFormatError(
            f"the index has payloads of a newer revision: {shown} has payloads={schema.payloads}, written by Reelvec "
            f"{manifest.get('reelvec') or '?'}, this one reads up to {revision()}; use a newer Reelvec"
        )
    return schema


def verify_schema(found: Schema, wanted: Schema, *, shown: str) -> None:
    """Raise RecipeMismatch unless an index holds exactly what the recipe makes."""
    if found.recipe == wanted.recipe and found.dense == wanted.dense and found.sparse == wanted.sparse:
        return
    if found.recipe == wanted.recipe and _vectors(found) == _vectors(wanted):  # only the store keeps them otherwise
        held, asked = (", ".join(f"{one.name} {one.quantization}" for one in each.dense) for each in (found, wanted))
        raise RecipeMismatch(
            f"the index keeps its vectors in another quantization than the recipe {wanted.recipe_name!r} asks for: "
            f"{held}, not {asked}: {shown}; an index keeps the one that it was made with: say that in [quantization], "
            "or ingest into another --index"
        )
    raise RecipeMismatch(
        f"the index was made by recipe {found.recipe_name!r} ({found.recipe[:12]}: {_vectors(found)}), "
        f"not by {wanted.recipe_name!r} ({wanted.recipe[:12]}: {_vectors(wanted)}): {shown}; "
        "use that recipe, change it by `reelvec migrate`, or use another --index"
    )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an Edge folder; None where there is none."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        held = json.loads(text)
    except ValueError as error:
        raise IndexFormatError(f"the index's description is no JSON: {folder / MANIFEST} ({error})") from error
    if not isinstance(held, dict):
        raise IndexFormatError(f"the index's description is no JSON object: {folder / MANIFEST}")
    return held


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new text, and a crash leaves one of them."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names that were created, replaced or removed in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _vectors(schema: Schema) -> str:
    dense = (f"{vector.name} {vector.dimensions}{'*' if vector.multi else ''}" for vector in schema.dense)
    return ", ".join((*dense, *schema.sparse)) or "no vectors"
