"""Indexes of videos whose clips lie one after the other, with vectors made from words for what each frame shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transforms.encoders.light import text_vectors
from transforms.encoders.words import document_vector
from transforms.fuse import change_block, lay_out, mean_direction, time_features
from transforms.index.edge import EdgeStore
from transforms.index.ledger import write_entries
from transforms.index.location import IndexLocation
from transforms.index.publish import publish
from transforms.index.store import VectorStore
from transforms.recipe import Recipe
from transforms.records import ClipPoint, Float32, LedgerEntry, Vector, stable_id
from transforms.uris import uri_of_path

CLIP_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Film:
    """A video as a list of clips, each the texts of what its frames show; `said` the same for speech."""

    name: str
    shown: Sequence[Sequence[str]] = ()
    said: Sequence[str] = ()
    clock_starts_seconds: float = 0.0

    @property
    def uri(self) -> str:
        return uri_of_path(f"/films/{self.name}")

    @property
    def clips(self) -> int:
        return max(len(self.shown), len(self.said))

    @property
    def duration_seconds(self) -> float:
        return CLIP_SECONDS * self.clips


def points_of(film: Film, recipe: Recipe, *, live: bool = True) -> list[ClipPoint]:
    """The clips of a film as an ingest stores them."""
    return [_point(film, place, recipe, live=live) for place in range(film.clips)]


def entry_of(film: Film, recipe: Recipe) -> LedgerEntry:
    """What the ledger says of a committed film."""
    vectors = tuple(sorted(recipe.vector_fingerprints().items()))
    return LedgerEntry(
        film.uri,
        5,
        "1",
        "committed",
        content=film.name,
        recipe=recipe.fingerprint,
        vectors=vectors,
        live_content=film.name,
        clips=film.clips,
        duration_seconds=film.duration_seconds,
    )


def fill(store: VectorStore, films: Sequence[Film], recipe: Recipe) -> None:
    """Store the films, live, with their ledger entries."""
    store.upsert([point for film in films for point in points_of(film, recipe)])
    write_entries(store, [entry_of(film, recipe) for film in films])
    store.flush()


def timed_index(folder: Path, films: Sequence[Film], recipe: Recipe) -> str:
    """A published index of these films; gives its folder."""
    location = IndexLocation.parse(str(folder))
    store = EdgeStore(location, recipe.schema())
    fill(store, films, recipe)
    publish(location, store, optimize=False)
    store.close()
    return str(folder)


def _point(film: Film, place: int, recipe: Recipe, *, live: bool) -> ClipPoint:
    start = CLIP_SECONDS * place
    vectors: dict[str, Vector] = {}
    middle = start + CLIP_SECONDS / 2
    blocks: dict[str, Float32] = {
        "position": time_features(middle, middle / film.duration_seconds, recipe.fusion),
    }
    if place < len(film.shown) and film.shown[place]:
        frames = np.asarray(text_vectors(recipe.text_encoder, list(film.shown[place])))
        blocks |= {"frame": mean_direction(frames), "change": change_block(frames)}
        vectors |= {"frame": blocks["frame"], "frames": frames}
    said = film.said[place] if place < len(film.said) else ""
    if said:
        blocks["transcript"] = np.asarray(text_vectors(recipe.text_encoder, [said])[0])
        vectors |= {"transcript": blocks["transcript"], "words": document_vector(said)}
    vectors["clip"] = lay_out(blocks, recipe)
    payload = {
        "kind": "clip",
        "live": live,
        "uri": film.uri,
        "content": film.name,
        "recipe": recipe.fingerprint,
        "segmenter": recipe.segmenter,
        "clip_index": place,
        "start_seconds": film.clock_starts_seconds + start,
        "end_seconds": film.clock_starts_seconds + start + CLIP_SECONDS,
        "media_start_seconds": film.clock_starts_seconds,
        "duration_seconds": film.duration_seconds,
        "metadata": {},
        "vectors": sorted(vectors),
    }
    return ClipPoint(stable_id(film.uri, place), vectors, payload | ({"transcript": said} if said else {}))
