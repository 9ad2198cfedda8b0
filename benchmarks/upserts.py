"""Upserts through our store, as a share of bare Qdrant Edge upserts of the same points.

Both take the same numpy arrays in the same batches and flush after each; ours also checks every
vector and payload, looks at the room on the disk and takes the lock.
"""

import argparse
import tempfile
import time
from pathlib import Path

import qdrant_edge as edge
from clip_points import SCHEMA, clip_points
from report import figure, finish, paired

from transforms.index.engine import create_shard
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer
from transforms.records import ClipPoint, SparseVector


def through_our_store(batches: list[list[ClipPoint]]) -> float:
    """Seconds."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_writer(IndexLocation.parse(str(Path(folder, "index"))), SCHEMA)
        began = time.perf_counter()
        for batch in batches:
            store.upsert(batch)
            store.flush()
        seconds = time.perf_counter() - began
        store.close()
    return seconds


def bare(batches: list[list[ClipPoint]]) -> float:
    """Seconds."""
    with tempfile.TemporaryDirectory() as folder:
        create_shard(folder, SCHEMA)
        shard = edge.EdgeShard.load(folder)
        began = time.perf_counter()
        for batch in batches:
            shard.update(edge.UpdateOperation.upsert_points([_bare_point(point) for point in batch]))
            shard.flush()
        seconds = time.perf_counter() - began
        shard.close()
    return seconds


def _bare_point(point: ClipPoint) -> edge.Point:
    vectors = {
        name: edge.SparseVector(vector.indices.tolist(), vector.values.tolist())
        if isinstance(vector, SparseVector)
        else vector.tolist()
        for name, vector in point.vectors.items()
    }
    return edge.Point(point.id, vectors, point.payload)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    batches = [clip_points(start, start + given.batch) for start in range(0, given.clips, given.batch)]
    ours, raw, ratio = paired(lambda: through_our_store(batches), lambda: bare(batches), rounds=given.rounds)
    figure("upserts through our store", given.clips / ours, "clips/s")
    figure("bare Edge upserts", given.clips / raw, "clips/s")
    figure("share of bare Edge upserts", 1 / ratio, at_least=0.6)
    finish()


if __name__ == "__main__":
    main()
