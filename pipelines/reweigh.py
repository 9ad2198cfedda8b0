"""New fusion weights alone: the space in use is copied as it is, and each `clip` vector weighed again where it lies.

A `clip` vector is a row of weighed blocks, so what it becomes under other weights can be told from itself wherever no
block that counts now counted for nothing before. Nothing else is read, and nothing is made anew.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.carry import groups
from pipelines.recipe_change import RecipeChange
from transforms import interrupt
from transforms.fusion_settings import BLOCKS
from transforms.index.kinds import LIVE_CLIPS, LIVE_WHOLES
from transforms.index.ledger import write_entries
from transforms.index.store import AnyOf, Reader, Where
from transforms.progress import listener
from transforms.recipe import Recipe
from transforms.records import ClipPoint, Float32, LedgerEntry, Schema

if TYPE_CHECKING:
    from transforms.index.edge import EdgeStore

#: Clips that are read, weighed and vouched for together; each time the store is flushed twice.
_GROUP_CLIPS = 4096
_PAGE = 512
#: Shorter than this, nothing of a vector is left whose direction means anything.
_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True)
class Weighed:
    """What became of the videos of a call."""

    clips: int
    left: tuple[LedgerEntry, ...]  # videos for which this way does not do


def only_weights_change(old: Schema, recipe: Recipe, change: RecipeChange) -> bool:
    """Whether all that another recipe does to an index of `old` is weigh the blocks of `clip` otherwise.

    Proven, not guessed: the old recipe still has the held fingerprint, so what is stored is what it would make now.
    """
    before = Recipe.of(old.settings)
    kept = {vector.name for vector in change.of("keep")}
    if change.recut or change.dropped or change.unread or change.requantized or change.reread:
        return False
    if kept != set(old.vector_names) - {"clip"} or [v.name for v in change.of("from_stored")] != ["clip"]:
        return False
    wanted = recipe.schema()
    alike = (old.dense, old.sparse) == (wanted.dense, wanted.sparse) and before.blocks() == recipe.blocks()
    strategies = {before.fusion.strategy, recipe.fusion.strategy}
    if not alike or strategies != {"blocks"} or _but_weights(before) != _but_weights(recipe):
        return False
    if any(getattr(recipe.fusion, name) > 0 and not getattr(before.fusion, name) > 0 for name, _ in recipe.blocks()):
        return False
    return before.vector_fingerprints().get("clip") == old.vector_fingerprints.get("clip")


def carry_weighed(
    donor: Reader, target: "EdgeStore", entries: Sequence[LedgerEntry], old: Recipe, recipe: Recipe
) -> Weighed:
    """Weigh the clips of these videos again in a target that began as the donor's copy, and vouch for them."""
    factors = _factors(old, recipe)
    prints = tuple(sorted(recipe.vector_fingerprints().items()))
    clips, left = 0, []
    for group in groups(entries, _GROUP_CLIPS):
        if interrupt.requested():
            break
        done = _weigh_group(donor, target, group, factors)
        vouched = [entry for entry in group if entry.uri in done]
        left += [entry for entry in group if entry.uri not in done]
        target.flush()
        write_entries(
            target,
            [replace(e, recipe=recipe.fingerprint, vectors=prints, clips=done[e.uri]) for e in vouched],
        )
        target.flush()
        for entry in vouched:
            clips += done[entry.uri]
            listener().segment_done(entry.duration_seconds, done[entry.uri])
            listener().video_done()
    return Weighed(clips, tuple(left))


def delete_strangers(target: "EdgeStore", donor_uris: Sequence[str], wanted: set[str]) -> None:
    """Delete what the copy holds of videos that are not to be carried over."""
    strangers = [uri for uri in donor_uris if uri not in wanted]
    for start in range(0, len(strangers), _PAGE):
        target.delete(Where((AnyOf("uri", tuple(strangers[start : start + _PAGE])),)))


def _weigh_group(donor: Reader, target: "EdgeStore", group: Sequence[LedgerEntry], factors: Float32) -> dict[str, int]:
    """Update the vectors of these videos; gives the clips of each that is done."""
    uris = AnyOf("uri", tuple(entry.uri for entry in group))
    held = Where((*LIVE_CLIPS.must, uris))
    by_video: dict[str, list[tuple[str, Float32 | None]]] = defaultdict(list)
    for point in donor.scroll(held, vectors=("clip",), batch=_PAGE):
        vector = point.vectors.get("clip")
        by_video[str(point.payload["uri"])].append((point.id, None if vector is None else np.asarray(vector)))
    if target.count(held) != sum(map(len, by_video.values())):  # something was deleted from the copy since
        return {}
    wholes: dict[str, list[ClipPoint]] = defaultdict(list)
    for point in donor.scroll(Where((*LIVE_WHOLES.must, uris)), batch=_PAGE):
        wholes[str(point.payload["uri"])].append(point)
    done: dict[str, int] = {}
    updates: list[ClipPoint] = []
    for uri, clips in by_video.items():
        own = _weighed(clips, wholes[uri], factors)
        if own is not None:
            updates += own
            done[uri] = len(clips)
    target.update_vectors(updates)
    return done


def _weighed(
    clips: Sequence[tuple[str, Float32 | None]], wholes: Sequence[ClipPoint], factors: Float32
) -> list[ClipPoint] | None:
    """The new `clip` vectors of a video's clips and of its whole; None where one would come or go."""
    having = [(id_, vector) for id_, vector in clips if vector is not None]
    if len(wholes) != 1:
        return None
    had_whole = "clip" in wholes[0].payload["vectors"]
    if not having:
        return None if had_whole else []
    rows = np.stack([vector for _, vector in having]) * factors  # (clips, dim)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if lengths.min() <= _SHORTEST:
        return None
    rows = (rows / lengths).astype(np.float32)
    mean: NDArray[np.float64] = rows.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if (length > _SHORTEST) != had_whole:
        return None
    found = [ClipPoint(id_, {"clip": row}, {}) for (id_, _), row in zip(having, rows, strict=True)]
    return [*found, ClipPoint(wholes[0].id, {"clip": (mean / length).astype(np.float32)}, {})] if had_whole else found


def _factors(old: Recipe, new: Recipe) -> Float32:
    """By what each number of a `clip` vector is multiplied, (dim,)."""
    parts = []
    for name, size in new.blocks():
        before, after = getattr(old.fusion, name), getattr(new.fusion, name)
        parts.append(np.full(size, after / before if after > 0 else 0.0, np.float32))
    return np.concatenate(parts)


def _but_weights(recipe: Recipe) -> dict[str, object]:
    return {key: value for key, value in recipe.fusion.decides().items() if key not in BLOCKS}
