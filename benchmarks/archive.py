"""Export and import of an Edge index, each as a share of the bare engine reading or taking the same clips.

Bare reading is a scroll of the published shard that looks at every vector and payload; bare writing is an upsert of the
same points into a shard that was just made. Neither touches Parquet. `--shape frame` has one vector of 384 a clip,
`--shape offline` the 5,024 floats of the offline recipe. On a machine that others use too only the processor seconds
say much; the child that publishes an import is not in them.
"""

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import qdrant_edge as edge
from clip_points import CLIPS_A_VIDEO, SCHEMA, clip_points
from report import figure, finish

from pipelines.archive import export, import_archive
from transforms.index.engine import create_shard, page_out, points_out
from transforms.index.kinds import LIVE_CLIPS
from transforms.index.ledger import write_entries
from transforms.index.live import CURRENT, PUBLISHED
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer
from transforms.index.publish import publish
from transforms.records import ClipPoint, LedgerEntry, Schema, SparseVector

_BATCH = 500


def shaped(schema: Schema, points: list[ClipPoint]) -> list[ClipPoint]:
    return [replace(p, vectors={name: p.vectors[name] for name in schema.vector_names}) for p in points]


def make_index(location: IndexLocation, schema: Schema, clips: int) -> None:
    store = open_writer(location, schema)
    for start in range(0, clips, _BATCH):
        points = shaped(schema, clip_points(start, start + _BATCH))
        store.upsert(points)
        for uri in sorted({str(point.payload["uri"]) for point in points}):
            content = next(str(p.payload["content"]) for p in points if p.payload["uri"] == uri)
            entry = LedgerEntry(uri, 1, "1", "committed", content, schema.recipe, live_content=content)
            write_entries(store, [replace(entry, clips=CLIPS_A_VIDEO, searchable_since="2026-01-01T00:00:00+00:00")])
    store.flush()
    publish(location, store, optimize=False)
    store.close()


class Spent(NamedTuple):
    """Seconds on the clock, and of the processor in this process."""

    wall: float
    processor: float

    @staticmethod
    def now() -> "Spent":
        return Spent(time.perf_counter(), time.process_time())

    def since(self, began: "Spent") -> "Spent":
        return Spent(self.wall - began.wall, self.processor - began.processor)

    def and_also(self, other: "Spent") -> "Spent":
        return Spent(self.wall + other.wall, self.processor + other.processor)


def bare_read(location: IndexLocation) -> Spent:
    folder = location.path / PUBLISHED / (location.path / CURRENT).read_text().strip()
    shard = edge.EdgeShard.load(str(folder))
    offset, began = None, Spent.now()
    while True:
        records, offset = shard.scroll(page_out(LIVE_CLIPS, limit=256, offset=offset, vectors=True))
        for record in records:
            _ = record.vector, record.payload
        if offset is None:
            break
    spent = Spent.now().since(began)
    shard.close()
    return spent


def bare_write(folder: Path, schema: Schema, clips: int) -> Spent:
    """The points are made outside of it."""
    folder.mkdir()
    create_shard(str(folder), schema)
    shard, spent = edge.EdgeShard.load(str(folder)), Spent(0.0, 0.0)
    for start in range(0, clips, _BATCH):
        points = shaped(schema, clip_points(start, start + _BATCH))
        began = Spent.now()
        for at in range(0, _BATCH, 256):
            shard.update(points_out(points[at : at + 256]))
        if start % 16_000 == 0:
            shard.flush()
        spent = spent.and_also(Spent.now().since(began))
    began = Spent.now()
    shard.flush()
    spent = spent.and_also(Spent.now().since(began))
    shard.close()
    return spent


def exact(one: IndexLocation, other: IndexLocation) -> bool:
    """Whether both hold the same clips to the bit."""
    readers = open_reader(one), open_reader(other)
    pairs = zip(*(reader.scroll(LIVE_CLIPS, vectors=True, batch=256) for reader in readers), strict=True)
    same = all(
        a.id == b.id and a.payload == b.payload and all(_same(v, b.vectors[n]) for n, v in a.vectors.items())
        for a, b in pairs
    )
    for reader in readers:
        reader.close()
    return same


def _same(one: object, other: object) -> bool:
    if isinstance(one, SparseVector) and isinstance(other, SparseVector):
        return one.indices.tobytes() == other.indices.tobytes() and one.values.tobytes() == other.values.tobytes()
    return one.tobytes() == other.tobytes()  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--shape", choices=("offline", "frame"), default="offline")
    parser.add_argument("--folder", type=Path, help="Where to work; a temporary folder otherwise.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    schema = SCHEMA if given.shape == "offline" else replace(SCHEMA, dense=SCHEMA.dense[:1], sparse=())
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        one, other = IndexLocation.parse(str(folder / "one")), IndexLocation.parse(str(folder / "other"))
        make_index(one, schema, given.clips)
        read = bare_read(one)
        began = Spent.now()
        export(one, folder / "archive")
        exported = Spent.now().since(began)
        written = bare_write(folder / "bare", schema, given.clips)
        shutil.rmtree(folder / "bare")
        began = Spent.now()
        import_archive(folder / "archive", other, wait=False)
        imported = Spent.now().since(began)
        size = sum(path.stat().st_size for path in (folder / "archive").rglob("*") if path.is_file())
        for doing, ours, bare in (("export", exported, read), ("import", imported, written)):
            figure(
                f"{doing} of {given.clips} clips, shape {given.shape}", given.clips / ours.wall, "clips/s", at_least=2e4
            )
            figure(f"bare engine for {doing}", given.clips / bare.wall, "clips/s")
            figure(f"share of the bare engine, {doing}", bare.wall / ours.wall, at_least=0.6)
            figure(f"{doing}, clips a processor second", given.clips / ours.processor, "clips/s")
            figure(f"share of the bare engine's processor seconds, {doing}", bare.processor / ours.processor)
        figure("bytes a clip in the archive", size / given.clips, "bytes")
        figure("exact to the bit", float(exact(one, other)), at_least=1.0)
    finish()


if __name__ == "__main__":
    main()
