"""A small corpus and its index by a recipe without speech, made once for a module and given out anew to each test."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Equals, Where
from transforms.records import SparseVector

CHEAP = """name = "cheap"
[segment]
clip_seconds = {clip}
segment_seconds = 8.0
[frames]
choice = "{choice}"
encoder = "conse:tf_efficientnet_lite2"
[sound]
encoder = "mfcc:statistics"
[fusion]
frame = 1.0
change = {change}
position = {position}
"""
POINTS = Where()
CLIPS = Where((Equals("kind", "clip"),))


def recipe_file(folder: Path, *, clip=2.0, choice="every:1s", change=0.4, position=0.4, text="") -> str:
    path = folder / f"{abs(hash((clip, choice, change, position, text)))}.toml"
    path.write_text((text or CHEAP).format(clip=clip, choice=choice, change=change, position=position))
    return str(path)


def settings(index, *sources, **more):
    return IngestSettings(sources=tuple(map(str, sources)), index=str(index), **more)


def points(index, where=POINTS, **options):
    reader = open_reader(IndexLocation.parse(str(index)))
    try:
        return {point.id: point for point in reader.scroll(where, **options)}
    finally:
        reader.close()


def alike(one, other):
    """Whether two named vectors point the same way."""
    if isinstance(one, SparseVector):
        return np.array_equal(one.indices, other.indices) and np.allclose(one.values, other.values)
    return one.shape == other.shape and np.all(np.sum(one * other, axis=-1) > 0.9999)


def assert_equal_indexes(one, other):
    """The same ids, payloads (time stamps apart) and vectors."""
    volatile = ("searchable_since", "switched_at", "run")
    first, second = (points(index, vectors=True) for index in (one, other))
    kept = [
        {id_: point for id_, point in held.items() if point.payload["kind"] not in ("space", "calibration", "run")}
        for held in (first, second)
    ]
    assert kept[0].keys() == kept[1].keys()
    for id_, point in kept[0].items():
        twin = kept[1][id_]
        plain = [{k: v for k, v in p.payload.items() if k not in volatile} for p in (point, twin)]
        assert plain[0] == plain[1]
        assert point.vectors.keys() == twin.vectors.keys()
        for name, vector in point.vectors.items():
            assert alike(vector, twin.vectors[name]), (name, point.payload)


class Template:
    """A corpus and its index. A test gets the corpus under the path that the index knows, and an index of its own."""

    def __init__(self, folder: Path, films: Callable[[Path], object]) -> None:
        self.folder, self.corpus = folder, folder / "corpus"
        films(self.corpus)
        ingest(settings(folder / "index", self.corpus, recipe=recipe_file(folder)))
        shutil.copytree(self.corpus, folder / "kept")

    def corpus_anew(self) -> Path:
        shutil.rmtree(self.corpus, ignore_errors=True)
        return Path(shutil.copytree(self.folder / "kept", self.corpus))

    def index_in(self, folder: Path) -> str:
        copied = folder / "index"  # not by shutil: it writes out what sparse files leave out, fifteen times as much
        subprocess.run(["cp", "-a", self.folder / "index", copied], check=True)
        return str(copied)
