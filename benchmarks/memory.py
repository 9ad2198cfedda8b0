"""Peak memory of an ingest of a long video against that of a short one, each in a process of its own."""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from corpora import lengthened, render
from report import figure, finish


def peak_megabytes(video: str, index: str) -> None:
    """Ingest one video and print this process's peak."""
    from pipelines.ingest import ingest
    from pipelines.settings import IngestSettings

    assert ingest(IngestSettings(sources=(video,), index=index)).videos_indexed == 1
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measured(video: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", str(video), f"{folder}/index"]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=2)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.child:
        peak_megabytes(*chosen.child)
    else:
        with tempfile.TemporaryDirectory() as folder:
            short = render(Path(folder) / "short.mp4", seconds=60)
            long = lengthened(short, Path(folder) / "long.mp4", seconds=60 * chosen.minutes)
            low, high = measured(short), measured(long)
        figure("peak memory, 1-minute video", low, "MB")
        figure(f"peak memory, {chosen.minutes:g}-minute video", high, "MB")
        figure("difference", high - low, "MB", at_most=150)
        finish()
