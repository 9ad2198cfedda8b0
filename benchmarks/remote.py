"""Ingest of a folder through a web server of this machine and through S3 (moto) against the same folder from disk.

The encoder is the cheapest there is (MFCC), so that no model hides what fetching costs: a recipe that looks at pictures
gives ratios nearer to 1. The corpus is rendered: short videos and one of several segments. Bytes are counted where they
are sent, those of moto by what the cache holds after it. Both servers run in processes of their own over the loopback:
the ratio is what looking, fetching, hashing and storing cost, without a line.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corpora import lengthened, render
from report import figure, finish, paired

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings

SERVER = """
import http.server, os, sys
folder, port, log = sys.argv[1:]
os.chdir(folder)

class Ranged(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)
    def answer(self, body):
        path = self.path.lstrip("/")
        try: size = os.path.getsize(path)
        except OSError: return self.send_error(404)
        first = int(self.headers["Range"][6:].split("-")[0]) if self.headers.get("Range") else 0
        self.send_response(206 if first else 200)
        if first: self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - first))
        self.send_header("ETag", f'"{size}-{os.stat(path).st_mtime_ns}"')
        self.end_headers()
        if body:
            with open(path, "rb") as file:
                file.seek(first)
                while chunk := file.read(2**20): self.wfile.write(chunk)
            with open(log, "a") as file: file.write(f"{size - first}\\n")
    def log_message(self, *_): pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Ranged).serve_forever()
"""

WORKER = """
import sys
from transforms.media.decode import decode
from transforms.on_disk import on_disk
from transforms.records import FrameSpec, FrameWant, VideoRef, Work
from transforms.remote.settings import RemoteSettings
from transforms.remote.web import Web
from transforms.segment import segment_video
from transforms.segment_settings import SegmentSettings
remote = RemoteSettings(cache=sys.argv[1], allow_private_addresses=True)
want = FrameWant(FrameSpec(64, 64), "every:1s")
for uri in sys.argv[2:]:
    found = Web(remote).look(uri)
    video = VideoRef(uri, found.size_bytes, found.version)
    for segment in segment_video(Work(video), SegmentSettings(), remote):
        with on_disk(video, remote) as here:
            decode(here.path, segment.info, segment.clips, wants=[want], sample_rates_hz=[16000])
"""

RECIPE = (
    'name = "sounds"\n[segment]\nclip_seconds = 8.0\nsegment_seconds = 64.0\n[sound]\nencoder = "mfcc:statistics"\n'
)
OPEN = {"allow_private_addresses": True, "min_free_megabytes": 0}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    """A server in a process of its own, once it takes connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def corpus_of(folder: Path, videos: int, seconds: float) -> Path:
    corpus = folder / "corpus"
    for number in range(videos):
        render(corpus / f"{number:03}.mp4", seconds=seconds, size="640x360", seed=number)
    lengthened(corpus / "000.mp4", corpus / "long.mp4", seconds=150)
    return corpus


def ingested(folder: Path, number: int, videos: int, **settings: object) -> float:
    """Seconds of one whole ingest into a new index, from an empty cache."""
    before = time.perf_counter()
    summary = ingest(
        IngestSettings(
            index=f"{folder}/index{number}",
            recipe=f"{folder}/recipe.toml",
            remote_cache=folder / f"cache{number}",
            **OPEN,
            **settings,
        )
    )
    assert (summary.videos_indexed, summary.videos_rejected) == (videos, 0), summary
    return time.perf_counter() - before


def main(videos: int, rounds: int) -> None:
    numbers = iter(range(10_000))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.toml").write_text(RECIPE)
        corpus = corpus_of(folder, videos, 6.0)
        files = sorted(corpus.iterdir())
        size = sum(path.stat().st_size for path in files)
        figure("corpus", size / 2**20, "MB")
        port, log = free_port(), folder / "sent.txt"
        manifest = folder / "manifest.jsonl"
        uris = [f"http://127.0.0.1:{port}/{path.name}" for path in files]
        manifest.write_text("".join(json.dumps({"uri": uri}) + "\n" for uri in uris))

        def from_disk() -> float:
            return ingested(folder, next(numbers), len(files), sources=(str(corpus),))

        from_disk()  # models are loaded
        with started([sys.executable, "-c", SERVER, str(corpus), str(port), str(log)], port):

            def from_web() -> float:
                return ingested(folder, next(numbers), len(files), manifest=manifest)

            web, disk, ratio = paired(from_web, from_disk, rounds=rounds)
            figure("ingest from disk", disk, "s")
            figure("ingest from a web server", web, "s")
            figure("from a web server / from disk", ratio, "", at_most=1.25)
            sent = sum(map(int, log.read_text().split()))
            figure("bytes sent / bytes of the corpus, web, each round", sent / size / rounds, "", at_most=1.0)
            log.unlink()
            command = [sys.executable, "-c", WORKER, str(folder / "shared")]
            workers = [subprocess.Popen([*command, *uris]), subprocess.Popen([*command, *reversed(uris)])]
            assert [worker.wait() for worker in workers] == [0, 0]
            sent = sum(map(int, log.read_text().split()))
            figure("the same, two processes that decode every segment each", sent / size, "", at_most=1.0)
        in_a_bucket(folder, corpus, files, size, from_disk, numbers, rounds)


def in_a_bucket(folder, corpus, files, size, from_disk, numbers, rounds) -> None:  # type: ignore[no-untyped-def]
    try:
        import boto3
        import moto  # noqa: F401
    except ImportError:
        print("boto3 or moto is not installed: no figures for S3")
        return
    port = free_port()
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with started([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        client = boto3.client("s3")
        client.create_bucket(Bucket="films")
        for path in files:
            client.upload_file(str(path), "films", path.name)

        def from_s3() -> float:
            return ingested(folder, next(numbers), len(files), sources=("s3://films",))

        s3, _, ratio = paired(from_s3, from_disk, rounds=rounds)
        figure("ingest from S3 (moto)", s3, "s")
        figure("from S3 (moto) / from disk", ratio, "", at_most=1.25)
        cached = sum(path.stat().st_size for path in max(folder.glob("cache*"), key=os.path.getmtime).glob("*[0-9a-f]"))
        figure("bytes kept / bytes of the corpus, S3", cached / size, "", at_most=1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    main(chosen.videos, chosen.rounds)
    finish()
