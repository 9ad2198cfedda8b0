"""A whole ingest of the example videos against a plain loop that does the same work without Beam.

The loop probes, hashes, decodes, encodes, fuses and upserts one segment after the other with the
same functions and the same loaded models, flushing after each video.
"""

import tempfile
import time
from pathlib import Path

from corpora import EXAMPLES
from report import figure, finish, paired

from pipelines.embed_segment import embed_segment
from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from transforms.decode import decode_segment
from transforms.encode import Models, heard
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer, release
from transforms.recipe import load_recipe
from transforms.records import Work
from transforms.segment import segment_video
from transforms.source import list_videos

RECIPE = load_recipe("offline")


def with_reelvec() -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        summary = ingest(IngestSettings(sources=(str(EXAMPLES),), index=f"{folder}/index"))
        seconds = time.perf_counter() - started
        assert summary.videos_indexed == 6
        return seconds


def with_a_loop() -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        models = Models.load(RECIPE)
        location = IndexLocation.parse(f"{folder}/index")
        store = open_writer(location, RECIPE.schema())
        for video in list_videos([str(EXAMPLES)]).videos:
            for segment in segment_video(Work(video), RECIPE.segment):
                decoded = decode_segment(segment, RECIPE, hear=lambda media: heard(media, models))
                result = embed_segment(decoded, models, RECIPE)
                store.upsert(result.points)
            store.flush()
        store.close()
        release(location)
        return time.perf_counter() - started


if __name__ == "__main__":
    assert Path(EXAMPLES).is_dir()
    with_a_loop()  # models are loaded, files are read once
    ours, bare, ratio = paired(with_reelvec, with_a_loop)
    figure("whole ingest, publishing included", ours, "s")
    figure("plain loop", bare, "s")
    figure("whole ingest / plain loop", ratio, "", at_most=1.25)
    finish()
