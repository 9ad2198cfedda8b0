"""What is asked of a filled space before searches are led to it: complete, healthy, and no worse at finding."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from pipelines.query_vectors import QueryVectors
from transforms.index.kinds import LIVE_CLIPS
from transforms.index.query import AUTO, search_clips
from transforms.index.store import Equals, Query, Reader, Where
from transforms.recipe import Recipe
from transforms.records import ClipPoint, LedgerEntry

#: A sample of clips for the checks of vectors; their order is that of their ids, which is as good as chance.
SAMPLE_CLIPS = 500
CANARIES = 50
#: Words of a clip's own transcript that make a canary, from its middle: at most, and at least.
CANARY_WORDS, LEAST_WORDS = 8, 4
DEPTH = 10

#: Unit length as stored; a float32 of the store is within this.
_UNIT_TOLERANCE = 1e-3
#: Of a sample, at most this share may have a neighbour that is the same vector, beyond what the space before had.
_MOST_SAME = 0.1
_SAME_COSINE = 0.99999
#: By so much may the canaries' recall be lower than it was before.
RECALL_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a filled space, with what it saw."""

    name: str
    passed: bool
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """As `migrate --json` prints it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Canary:
    """A question with what has to be found: a clip, told by its video and its start, or any clip of some videos."""

    text: str
    uris: tuple[str, ...]  # of videos that are right
    start_seconds: float | None = None  # None: any clip of the videos


def check_counts(before: Mapping[str, LedgerEntry], after: Mapping[str, LedgerEntry], *, recut: bool) -> Check:
    """Every video that was searchable is, with as many clips where they are cut as before."""
    live = {uri: entry for uri, entry in before.items() if entry.live_content}
    lost = [uri for uri in live if uri not in after or not after[uri].live_content]
    fewer = [] if recut else [uri for uri in live if uri not in lost and after[uri].clips != live[uri].clips]
    clips = sum(entry.clips for entry in after.values())
    sentence = f"{len(live) - len(lost)} of {len(live)} videos, {clips} clips"
    if lost:
        sentence += f"; {len(lost)} videos are missing, e.g. {lost[0]}; `reelvec reindex` first, if files moved or went"
    if fewer:
        sentence += f"; {len(fewer)} videos have another number of clips, e.g. {fewer[0]}"
    return Check("count", not (lost or fewer), sentence)


def check_points(reader: Reader, after: Mapping[str, LedgerEntry]) -> Check:
    """The store holds the clips that the ledger speaks of."""
    held, said = reader.count(LIVE_CLIPS), sum(entry.clips for entry in after.values())
    return Check("points", held == said, f"{held} live clips are stored, the ledger speaks of {said}")


def check_health(reader: Reader) -> list[Check]:
    """Vectors of a sample are finite, of unit length, and not all alike."""
    sample = list(islice(reader.scroll(LIVE_CLIPS, vectors=True), SAMPLE_CLIPS))
    checks = []
    for vector in reader.schema.dense:
        rows = [
            np.atleast_2d(np.asarray(point.vectors[vector.name])) for point in sample if vector.name in point.vectors
        ]
        if not rows:
            continue
        every = np.concatenate(rows)
        lengths = np.linalg.norm(every, axis=1)
        sound = bool(np.isfinite(every).all() and np.all(np.abs(lengths - 1) <= _UNIT_TOLERANCE))
        same = _share_of_same([row[0] for row in rows], sample, vector.name)
        sentence = (
            f"{vector.name}: {len(rows)} of {len(sample)} clips, lengths {lengths.min():.4f} to {lengths.max():.4f}, "
            f"{same:.0%} have the vector of a clip of other content"
        )
        checks.append(Check(f"health of {vector.name}", sound and same <= _MOST_SAME, sentence))
    return checks


def _share_of_same(rows: Sequence[Any], sample: Sequence[ClipPoint], name: str) -> float:
    """The share of clips whose vector is that of a clip of another video's bytes: a collapsed encoder has many."""
    if len(rows) < 2:
        return 0.0
    contents = np.array([str(point.payload.get("content")) for point in sample if name in point.vectors])
    matrix = np.stack(rows)
    alike = (matrix @ matrix.T > _SAME_COSINE) & (contents[:, None] != contents[None, :])
    # Black film and silence are alike in every recipe: what counts is the share whose likes are many.
    crowded = alike.sum(axis=1) > 0.5 * len(rows)
    return float(crowded.mean())


def sampled_canaries(reader: Reader) -> list[Canary]:
    """Questions from the corpus itself: words out of the middle of what clips say, each with its clip."""
    found: list[Canary] = []
    for point in reader.scroll(LIVE_CLIPS):
        words = str(point.payload.get("transcript", "")).split()
        if len(words) >= LEAST_WORDS:
            first = max(0, len(words) - CANARY_WORDS) // 2
            text = " ".join(words[first : first + CANARY_WORDS])
            found.append(Canary(text, (str(point.payload["uri"]),), float(point.payload["start_seconds"])))
        if len(found) >= CANARIES:
            break
    return found


def check_canaries(canaries: Sequence[Canary], before: Reader, after: Reader, *, recut: bool) -> Check:
    """The canaries find their clip in the first ten no less often than before."""
    old, new = recall(canaries, before, recut=recut), recall(canaries, after, recut=recut)
    sentence = f"recall@{DEPTH} of {len(canaries)} questions {new:.2f}, before {old:.2f}"
    return Check("canaries", new >= old - RECALL_TOLERANCE, sentence)


def recall(canaries: Sequence[Canary], reader: Reader, *, recut: bool) -> float:
    """The share of canaries whose clip (or whose video, where clips are cut otherwise) is among the first ten."""
    recipe = Recipe.of(reader.schema.settings)
    texts = QueryVectors(recipe, reader.schema, shown="")
    found = 0
    for canary in canaries:
        vectors = texts.of(canary.text, texts.wanted(AUTO))
        if not vectors:  # nothing of the recipe can be asked with a text
            continue
        hits = search_clips(reader, vectors, by=AUTO, limit=DEPTH, counts=texts.counting(canary.text))
        found += any(_is_meant(hit.payload, canary, recut=recut) for hit in hits)
    return found / len(canaries) if canaries else 1.0


def check_neighbours(reader: Reader) -> list[Check]:
    """Clips of a sample are found by their own vectors, so that graphs and smaller copies lead where they should."""
    sample = list(islice(reader.scroll(LIVE_CLIPS, vectors=True), CANARIES))
    checks = []
    for vector in reader.schema.dense:
        own = [point for point in sample if vector.name in point.vectors]
        if vector.multi or not own:
            continue
        queries = [Query(vector.name, point.vectors[vector.name], LIVE_CLIPS, DEPTH) for point in own]
        best = [hits[0].score if hits else 0.0 for hits in reader.query(queries)]
        found = sum(score > 1 - _UNIT_TOLERANCE for score in best)
        sentence = f"{found} of {len(own)} clips are found by their own vector"
        checks.append(Check(f"neighbours in {vector.name}", found == len(own), sentence))
    return checks


def _is_meant(payload: Mapping[str, Any], canary: Canary, *, recut: bool) -> bool:
    if payload["uri"] not in canary.uris:
        return False
    return recut or canary.start_seconds is None or float(payload["start_seconds"]) == canary.start_seconds


def versions_of(reader: Reader, recipe: str) -> int:
    """Clips of any other recipe: a space that holds some is mixed."""
    return reader.count(Where((Equals("kind", "clip"), Equals("live", True)), (Equals("recipe", recipe),)))


def check_unmixed(reader: Reader) -> Check:
    """No clip of another recipe is in the space."""
    other = versions_of(reader, reader.schema.recipe)
    return Check("one recipe", other == 0, f"{other} clips of another recipe")
