"""A reindex that finds nothing to do, over many local videos, against a bare walk, stat and ledger read of the same.

Each in a fresh process. With more --videos than 10,000 also how the time grows from a tenth of them. Processor seconds
stand beside those on the clock, for machines that others use too. Of the memory, what the process itself took (RssAnon)
stands beside the peak, in which every page of the shard's files counts that the engine maps and looks at.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpora import render
from report import figure, finish, paired

BARE = """
import os, sys
import qdrant_edge as edge
corpus, index = sys.argv[1:]
found = {}
for folder, _, names in os.walk(corpus):
    for name in names:
        path = os.path.join(folder, name)
        stat = os.stat(path)
        found[path] = (stat.st_size, stat.st_mtime_ns)
shard = edge.EdgeShard.load(index + "/live")
kind = edge.FieldCondition(key="kind", match=edge.MatchValue("video"))
entries, offset = [], None
while True:
    page, offset = shard.scroll(edge.ScrollRequest(filter=edge.Filter(must=[kind]), limit=2000, offset=offset,
                                                   with_payload=True, with_vector=False))
    entries += [record.payload for record in page]
    if offset is None:
        break
assert len(entries) == len(found), (len(entries), len(found))
shard.close()
"""


def prepare(folder: Path, videos: int) -> tuple[Path, str]:
    """Small real videos of different bytes in an index that says of each that it is whole, without encoding one."""
    from transforms.content import content_of
    from transforms.index.ledger import write_entries
    from transforms.index.location import IndexLocation
    from transforms.index.open import open_writer, release
    from transforms.index.publish import publish
    from transforms.recipe import load_recipe
    from transforms.records import LedgerEntry
    from transforms.source import list_videos
    from transforms.uris import path_of_uri

    corpus, index = folder / "corpus", f"{folder}/index"
    recipe = load_recipe("offline")
    video_bytes = render(folder / "one.mp4", seconds=1, size="64x48").read_bytes()
    for number in range(videos):
        path = corpus / f"{number % 100:02d}" / f"{number:06d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(video_bytes + b"\x00\x00\x00\x0cfree" + number.to_bytes(4, "big"))  # an empty atom more
    location = IndexLocation.parse(index)
    store = open_writer(location, recipe.schema())
    prints = tuple(sorted(recipe.vector_fingerprints().items()))
    entries = []
    for video in list_videos([str(corpus)]).videos:
        content = content_of(path_of_uri(video.uri))
        entries.append(
            LedgerEntry(
                video.uri,
                video.size_bytes,
                video.version,
                "committed",
                content,
                recipe.fingerprint,
                live_content=content,
                duration_seconds=1.0,
                origin=video.origin,
                vectors=prints,
            )
        )
    write_entries(store, entries)
    publish(location, store, optimize=False)
    store.close()
    release(location)
    return corpus, index


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def processor_seconds() -> float:
    """Those of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def processor_ratio(ours: list[str], bare: list[str], rounds: int) -> tuple[float, float, float]:
    """The medians of ours, of the bare one, and of their ratio round by round, in processor seconds."""
    pairs = []
    for _ in range(rounds):
        taken = []
        for command in (ours, bare):
            before = processor_seconds()
            seconds_of(command)
            taken.append(processor_seconds() - before)
        pairs.append(taken)
    own, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    return own, other, statistics.median(one / two for one, two in pairs)


def peak_megabytes(command: list[str]) -> tuple[float, float]:
    """The largest resident set of one run, and of it the largest that is of no file, seen every 5 ms."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, own = 0.0, 0.0
    while process.poll() is None:
        held = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        sizes = {
            line.split()[0]: float(line.split()[1]) / 1024 for line in held if line.startswith(("VmHWM", "RssAnon"))
        }
        peak, own = max(peak, sizes.get("VmHWM:", 0.0)), max(own, sizes.get("RssAnon:", 0.0))
        time.sleep(0.005)
    assert process.returncode == 0, command
    return peak, own


def measured(folder: Path, videos: int, rounds: int) -> float:
    """Print the figures for so many videos; gives the seconds of a run."""
    corpus, index = prepare(folder, videos)
    command = [sys.executable, "-m", "pipelines.cli"]
    reindex, plan = ([*command, verb, str(corpus), "--index", index] for verb in ("reindex", "plan"))
    bare = [sys.executable, "-c", BARE, str(corpus), index]
    ours, other, ratio = paired(lambda: seconds_of(reindex), lambda: seconds_of(bare), rounds=rounds)
    figure(f"no-op reindex of {videos} videos", ours, "s")
    figure("bare walk, stat and ledger read", other, "s")
    figure("no-op reindex / bare", ratio, "", at_most=2)
    figure("plan of the same", seconds_of(plan), "s")
    own, bare_own, busy = processor_ratio(reindex, bare, rounds)
    figure("no-op reindex, processor seconds", own, "s")
    figure("bare, processor seconds", bare_own, "s")
    figure("no-op reindex / bare, processor seconds", busy, "", at_most=2)
    (whole, anonymous), (engine, engine_anonymous) = peak_megabytes(reindex), peak_megabytes(bare)
    figure("peak memory of the reindex, files that the engine maps included", whole, "MB", at_most=300)
    figure("peak memory of the bare one, the same", engine, "MB")
    figure("memory of the reindex that is of no file", anonymous, "MB", at_most=300)
    figure("memory of the bare one that is of no file", engine_anonymous, "MB")
    return ours


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as tenth:
        seconds = measured(Path(one), chosen.videos, chosen.rounds)
        if chosen.videos > 10_000:
            less = measured(Path(tenth), chosen.videos // 10, chosen.rounds)
            figure("time of ten times as many / ten times the time", seconds / (10 * less), "", at_most=1.1)
    finish()
