"""What so many hours of video need: machine-hours, disk, memory, dollars; every figure is an option.

    python deploy/sizing.py --hours 1000 10000 100000 --prices prices.toml

The defaults are of the recipe `offline` on processors (docs/deploy.md says how they were taken). Take your own from the
report of a run: processor seconds, seconds of video, clips, and the size of the index.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from pipelines.estimates import Prices, read_prices
from transforms.recipe import load_recipe

#: A machine of a table has so many processors.
PROCESSORS = 8


@dataclass(frozen=True, slots=True)
class Figures:
    """What one recipe costs on one kind of machine."""

    processor_seconds_per_video_second: float  # decoding, encoding and storing, models loaded
    clips_per_video_hour: float
    bytes_per_clip: int  # on a server's disk
    bytes_in_memory_per_clip: int  # the vectors that searches read, their graphs too
    share_used: float = 0.8  # of the processors, over a run


@dataclass(frozen=True, slots=True)
class Size:
    """What so many hours of video need."""

    video_hours: float
    clips: int
    machine_hours: float  # of PROCESSORS each
    disk_gigabytes: float  # one copy
    memory_gigabytes: float
    usd: float | None


def offline() -> Figures:
    """The default recipe: time and disk as measured, a clip every 8 s, in memory its vectors and half as much."""
    recipe = load_recipe("offline")
    per_hour = 3600 / (recipe.segment.clip_seconds - recipe.segment.overlap_seconds)
    floats = sum(vector.dimensions for vector in recipe.schema().dense if not vector.multi)
    return Figures(0.29, per_hour, bytes_per_clip=37_200, bytes_in_memory_per_clip=round(1.5 * 4 * floats))


def size(figures: Figures, video_hours: float, prices: Prices | None) -> Size:
    """Scale one recipe's figures to a corpus."""
    clips = round(video_hours * figures.clips_per_video_hour)
    processor_hours = video_hours * figures.processor_seconds_per_video_second
    machine_hours = processor_hours / PROCESSORS / figures.share_used
    return Size(
        video_hours,
        clips,
        machine_hours,
        clips * figures.bytes_per_clip / 1e9,
        clips * figures.bytes_in_memory_per_clip / 1e9,
        None if prices is None else machine_hours * prices.usd_per_machine_hour,
    )


def table(sizes: list[Size]) -> list[str]:
    """The lines of a table in Markdown."""
    head = (
        f"| hours of video | clips | hours of one machine of {PROCESSORS} processors | disk, one copy | memory | cost |"
    )
    rows = [
        f"| {one.video_hours:,.0f} | {one.clips:,} | {one.machine_hours:,.0f} | {one.disk_gigabytes:,.0f} GB "
        f"| {one.memory_gigabytes:,.1f} GB | {'-' if one.usd is None else f'{one.usd:,.2f} USD'} |"
        for one in sizes
    ]
    return [head, "|---|---|---|---|---|---|", *rows]


def main() -> None:
    """Parse, scale, print."""
    figures = offline()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, nargs="+", default=[1_000, 10_000, 100_000], help="of video")
    parser.add_argument("--prices", type=Path, help="a price table as `reelvec plan` takes it (usd_per_machine_hour)")
    parser.add_argument("--processor-seconds", type=float, default=figures.processor_seconds_per_video_second)
    parser.add_argument("--clips-per-hour", type=float, default=figures.clips_per_video_hour)
    parser.add_argument("--bytes-per-clip", type=int, default=figures.bytes_per_clip)
    parser.add_argument("--memory-per-clip", type=int, default=figures.bytes_in_memory_per_clip)
    given = parser.parse_args()
    own = Figures(given.processor_seconds, given.clips_per_hour, given.bytes_per_clip, given.memory_per_clip)
    prices = read_prices(given.prices)
    print("\n".join(table([size(own, hours, prices) for hours in given.hours])))


if __name__ == "__main__":
    main()
