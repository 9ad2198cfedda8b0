"""Upserts through our store and through the whole sink, as shares of bare Qdrant Edge upserts of the same points.

All take the same numpy arrays in the same batches and flush after each. The store also checks every
vector and payload, looks at the room on the disk and takes the lock. The sink does besides what makes
a video searchable: it reads the clips back, leaves a receipt a segment and commits each video.
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
from transforms.index.store import Equals, Where
from transforms.records import (
    AudioStream,
    Clip,
    ClipPoint,
    Segment,
    SegmentResult,
    SparseVector,
    VideoInfo,
    VideoRef,
)
from transforms.write.commit import write_results

CLIPS_A_SEGMENT = 8


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


def through_the_sink(batches: list[list[ClipPoint]]) -> float:
    """Seconds."""
    groups = [results_of(batch) for batch in batches]
    with tempfile.TemporaryDirectory() as folder:
        store = open_writer(IndexLocation.parse(str(Path(folder, "index"))), SCHEMA)
        began = time.perf_counter()
        for group in groups:
            write_results(store, group, SCHEMA.recipe)
        seconds = time.perf_counter() - began
        live = store.count(Where((Equals("kind", "clip"), Equals("live", True))))
        assert live == sum(map(len, batches)), live
        store.close()
    return seconds


def results_of(points: list[ClipPoint]) -> list[SegmentResult]:
    """The clips as segments of eight, each batch videos of their own."""
    by_video: dict[str, list[ClipPoint]] = {}
    for point in points:
        payload = {**point.payload, "live": False}
        by_video.setdefault(str(payload["uri"]), []).append(ClipPoint(point.id, point.vectors, payload))
    results = []
    for uri, own in by_video.items():
        groups = [own[start : start + CLIPS_A_SEGMENT] for start in range(0, len(own), CLIPS_A_SEGMENT)]
        info = VideoInfo("mp4", 0.0, 8.0 * len(own), None, AudioStream(0, "aac", 16_000, 1, 0.0, 8.0 * len(own)))
        for index, group in enumerate(groups):
            clips = tuple(Clip(n, 8.0 * n, 8.0 * n + 8.0) for n in range(len(group)))
            content = str(group[0].payload["content"])
            segment = Segment(VideoRef(uri, 1, "1"), content, info, index, len(groups), clips)
            results.append(SegmentResult(segment, "ok", group))
    return results


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
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    batches = [clip_points(start, start + given.batch) for start in range(0, given.clips, given.batch)]
    ours, raw, ratio = paired(lambda: through_our_store(batches), lambda: bare(batches), rounds=given.rounds)
    figure("upserts through our store", given.clips / ours, "clips/s")
    figure("bare Edge upserts", given.clips / raw, "clips/s")
    figure("share of bare Edge upserts, store", 1 / ratio, at_least=0.6)
    sink, _, ratio = paired(lambda: through_the_sink(batches), lambda: bare(batches), rounds=given.rounds)
    figure("clips written through the sink, commits included", given.clips / sink, "clips/s")
    figure("share of bare Edge upserts, whole sink", 1 / ratio, at_least=0.6)
    finish()


if __name__ == "__main__":
    main()
