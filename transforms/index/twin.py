"""A space that begins as a copy of another one's shard, where most of what it will hold is the same.

The copy takes the writer's shard with its log: the engine numbers its operations by the log, and passes over what has a
lower number than a point was last changed by, so a shard with a fresh log would take no update and not say so.
"""

import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import qdrant_edge as edge

from transforms.index.copying import copy_file, sync_tree
from transforms.index.engine import delete_out, engine_errors, set_payload_out
from transforms.index.kinds import CLIP, WHOLE
from transforms.index.live import CURRENT, LIVE, SPARE_BYTES, check_room, shared
from transforms.index.location import IndexLocation
from transforms.index.manifest import MANIFEST, manifest_of, write_atomically
from transforms.index.store import AnyOf, Equals, Where
from transforms.records import Schema

_MARK = "TWIN_OF"
_PART = ".part"

_POINTS_WITH_VECTORS = AnyOf("kind", (CLIP, WHOLE))


def is_twin(source: IndexLocation, target: IndexLocation) -> bool:
    """Whether the target began as a copy of what the source has published now."""
    try:
        return (target.path / _MARK).read_text(encoding="utf-8") == _version(source)
    except FileNotFoundError:
        return False


def began_as_twin(target: IndexLocation) -> bool:
    """Whether the target began as a copy of anything."""
    return (target.path / _MARK).exists()


def make_twin(source: IndexLocation, target: IndexLocation, schema: Schema) -> None:
    """Make the target, which does not exist, of the live clips and whole videos of the source, labelled as `schema`'s.

    It has no ledger entries: whoever fills it vouches for each video by writing its entry. The source is published and
    nobody writes it meanwhile; its shard must take the vectors of `schema`. Raises DiskFull, StoreUnavailable.
    """
    part = target.path.with_name(target.path.name + _PART)
    live = source.path / LIVE
    with engine_errors(str(target)), ExitStack() as stack:
        if (open_here := shared(source)) is not None:
            stack.enter_context(open_here.closed())
        shutil.rmtree(part, ignore_errors=True)
        files = [path for path in live.rglob("*") if path.is_file()]
        part.mkdir(parents=True)
        # Twice: the engine's log, and what it rewrites of its segments, come on top of the copy.
        check_room(part, SPARE_BYTES + 2 * sum(path.stat().st_blocks * 512 for path in files))
        for path in files:
            copied = part / LIVE / path.relative_to(live)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copy_file(path, copied)
        _keep_what_has_vectors(part / LIVE, schema)
        write_atomically(part / MANIFEST, json.dumps(manifest_of(schema), indent=1, ensure_ascii=True) + "\n")
        (part / _MARK).write_text(_version(source), encoding="utf-8")
        sync_tree(part)
        os.rename(part, target.path)


def _keep_what_has_vectors(live: Path, schema: Schema) -> None:
    shard = edge.EdgeShard.load(str(live))
    shard.update(delete_out(Where(must_not=(_POINTS_WITH_VECTORS,))))
    shard.update(delete_out(Where(must_not=(Equals("live", True),))))
    shard.update(set_payload_out({"recipe": schema.recipe}, Where((_POINTS_WITH_VECTORS,))))
    shard.flush()
    shard.close()


def _version(source: IndexLocation) -> str:
    return f"{source.space or '-'} {(source.path / CURRENT).read_text(encoding='ascii').strip()}"
