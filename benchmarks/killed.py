"""How much is encoded twice when a run is killed half way through 100 videos and started again."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpora import render
from report import figure, finish


def noting(corpus: str, index: str, notes: str) -> None:
    """Ingest, and write a line for every segment that was encoded."""
    import pipelines.embed_segment as embed
    from pipelines.ingest import ingest
    from pipelines.settings import IngestSettings

    encode = embed.embed_segment
    out = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def noted(decoded, *rest):  # type: ignore[no-untyped-def]
        result = encode(decoded, *rest)
        os.write(out, f"{decoded.segment.video.uri} {decoded.segment.index}\n".encode())
        return result

    embed.embed_segment = noted
    ingest(IngestSettings(sources=(corpus,), index=index))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=3)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.child:
        noting(*chosen.child)
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        corpus, notes = Path(folder) / "corpus", Path(folder) / "notes"
        notes.touch()
        for number in range(chosen.videos):
            render(corpus / f"{number:03d}.mp4", seconds=3 + number % 5, size="160x90", seed=number)
        command = [sys.executable, __file__, "--child", str(corpus), f"{folder}/index", str(notes)]
        process = subprocess.Popen(command)
        while len(notes.read_text().splitlines()) < chosen.videos // 2 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        half = len(notes.read_text().splitlines())
        subprocess.run(command, check=True)
        encoded = notes.read_text().splitlines()
    figure("segments encoded before the kill", half)
    figure("segments of the corpus", len(set(encoded)))
    figure("segments encoded twice", len(encoded) - len(set(encoded)), "", at_most=4)
    finish()
