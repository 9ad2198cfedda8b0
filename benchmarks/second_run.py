"""A second run over unchanged files against a bare walk, stat and ledger read of the same, in fresh processes."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def prepare(corpus: Path, index: str, files: int) -> None:
    """Many small different videos in the index, without the hours that encoding them would take."""
    from transforms.content import content_of
    from transforms.index.ledger import write_entries
    from transforms.index.location import IndexLocation
    from transforms.index.open import open_writer, release
    from transforms.index.publish import publish
    from transforms.recipe import load_recipe
    from transforms.records import LedgerEntry
    from transforms.source import list_videos
    from transforms.uris import path_of_uri

    recipe = load_recipe("offline")
    for number in range(files):
        path = corpus / f"{number % 20:02d}" / f"{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x00\x00\x00\x18ftypisom" + number.to_bytes(4, "big") * (200 + number))
    location = IndexLocation.parse(index)
    store = open_writer(location, recipe.schema())
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
                clips=8,
                duration_seconds=64.0,
                origin=video.origin,
                vectors=tuple(sorted(recipe.vector_fingerprints().items())),
            )
        )
    write_entries(store, entries)
    publish(location, store, optimize=False)
    store.close()
    release(location)


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus, index = Path(folder) / "corpus", f"{folder}/index"
        prepare(corpus, index, chosen.files)
        ours, bare, ratio = paired(
            lambda: seconds_of([sys.executable, "-m", "pipelines.cli", "ingest", str(corpus), "--index", index]),
            lambda: seconds_of([sys.executable, "-c", BARE, str(corpus), index]),
            rounds=chosen.rounds,
        )
    figure(f"second run over {chosen.files} unchanged files", ours, "s")
    figure("bare walk, stat and ledger read", bare, "s")
    figure("second run / bare", ratio, "", at_most=2)
    finish()
