"""What it takes to publish an Edge index, and how long an ingest beside it stands still."""

import argparse
import tempfile
import threading
import time
from pathlib import Path

from clip_points import SCHEMA, clip_points
from report import figure, finish

from transforms.index.ledger import read_entries, write_entries
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer
from transforms.index.publish import Publication, publish
from transforms.index.store import Equals, VectorStore, Where
from transforms.records import LedgerEntry

BATCH = 250
CLIPS = Where(must=(Equals("kind", "clip"),))


def fill(store: VectorStore, clips: int) -> float:
    """Store so many clips; seconds in the store alone."""
    seconds = 0.0
    for start in range(0, clips, BATCH):
        batch = clip_points(start, min(clips, start + BATCH))
        began = time.perf_counter()
        store.upsert(batch)
        store.flush()
        seconds += time.perf_counter() - began
    return seconds


def publish_beside_a_writer(location: IndexLocation, store: VectorStore, clips: int) -> tuple[Publication, list[float]]:
    """Publish while a thread goes on upserting, counting and flushing; the seconds of each of its turns."""
    over = threading.Event()
    turns: list[float] = []

    def write() -> None:
        start = clips
        while not over.is_set():
            batch = clip_points(start, start + 8)
            began = time.perf_counter()
            store.upsert(batch)
            store.count(CLIPS)
            store.flush()
            turns.append(time.perf_counter() - began)
            start += 8
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(1.0)
    try:
        publication = publish(location, store, optimize=False)
    finally:
        over.set()
        writer.join()
    return publication, turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        location = IndexLocation.parse(str(Path(folder, "index")))
        store = open_writer(location, SCHEMA)
        figure("clips stored", given.clips / fill(store, given.clips), "clips/s")

        first, turns = publish_beside_a_writer(location, store, given.clips)
        figure("first publication beside a writer", first.seconds, "s")
        figure("  of it copying", first.copy_seconds, "s")
        figure("  the shard was held still, longest", first.writer_wait_seconds, "s")
        figure("  longest turn of the writer meanwhile", max(turns), "s")
        figure("  median turn of the writer meanwhile", sorted(turns)[len(turns) // 2], "s")
        figure("  size of the published version", first.size_bytes / 2**20, "MiB")

        last = publish(location, store, optimize=True)
        figure("publication at the end of a run", last.seconds, "s")
        figure("  of it optimising", last.optimise_seconds, "s")
        figure("  of it copying", last.copy_seconds, "s")
        figure("  size of the published version", last.size_bytes / 2**20, "MiB")

        again, turns = publish_beside_a_writer(location, store, given.clips)
        figure("publication of a little more", again.seconds, "s")
        figure("  copied", again.copied_bytes / 2**20, "MiB")
        figure("  the shard was held still, longest", again.writer_wait_seconds, "s")

        videos = max(1, given.clips // 10)
        write_entries(store, [LedgerEntry(f"file:///films/{n}.mp4", n, str(n), "committed") for n in range(videos)])
        began = time.perf_counter()
        assert len(read_entries(store)) == videos
        figure("ledger entries read", videos / (time.perf_counter() - began), "entries/s")
        store.close()
        began = time.perf_counter()
        reader = open_reader(location)
        reader.count(CLIPS)
        figure("reader opened and asked once", time.perf_counter() - began, "s")
        reader.close()
    finish()


if __name__ == "__main__":
    main()
