"""Any number of clips that are shaped like those of a real index.

A clip of the mixture is named after two real clips. A named vector that the first one carries is unit(a + share * b +
noise): `a` is the first clip's, `b` that of the second or, where it carries none, of another real clip that does;
`share` is even between 0 and 0.5, the noise as long as 0.3. The words are half of those of either clip. What changes
in a clip is that of the first clip's frames, mixed alike; it lies at an even moment of a video of up to an hour. `clip`
is laid out of these blocks as the pipeline does it. So clusters, missing modalities and zero blocks are those of
real footage, and the count alone is made up.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from transforms.fuse import change_block, lay_out, time_features
from transforms.index.query import LIVE_CLIPS
from transforms.index.store import Reader
from transforms.recipe import Recipe
from transforms.records import ClipPoint, Float32, SparseVector, Vector, stable_id

MOST_SHARE, NOISE = 0.5, 0.3
CHANGE = "change"
LEAST_SECONDS, MOST_SECONDS = 60.0, 3600.0

Sources = list[dict[str, Vector]]


def sources_of(reader: Reader) -> Sources:
    """The named vectors of every real clip, and what changes in it; without those that are made of others."""
    sources = []
    for point in reader.scroll(LIVE_CLIPS, vectors=True):
        own = dict(point.vectors)
        own.pop("clip", None)
        frames = own.pop("frames", None)
        if isinstance(frames, np.ndarray) and np.any(change := change_block(frames)):
            own[CHANGE] = change
        if own:
            sources.append(own)
    return sources


def mixed_clips(sources: Sources, recipe: Recipe, count: int, *, batch: int = 1000) -> Iterator[list[ClipPoint]]:
    """`count` clips in batches; the same sources and count give the same clips."""
    names = sorted({name for own in sources for name in own})
    carriers = {name: [own for own in sources if name in own] for name in names}
    for start in range(0, count, batch):
        chance = np.random.default_rng([11, start])
        yield [_mixed(number, sources, carriers, recipe, chance) for number in range(start, min(start + batch, count))]


def moment(chance: np.random.Generator) -> tuple[float, float]:
    """Seconds since the start of a video, and the share of it that has passed."""
    length_seconds = float(chance.uniform(LEAST_SECONDS, MOST_SECONDS))
    fraction = float(chance.uniform())
    return fraction * length_seconds, fraction


def _mixed(
    number: int, sources: Sources, carriers: dict[str, Sources], recipe: Recipe, chance: np.random.Generator
) -> ClipPoint:
    first, second = (sources[int(at)] for at in chance.integers(len(sources), size=2))
    vectors: dict[str, Vector] = {}
    for name, own in first.items():
        others: Sequence[dict[str, Vector]] = [second] if name in second else carriers[name]
        other = others[int(chance.integers(len(others)))][name]
        if isinstance(own, SparseVector) and isinstance(other, SparseVector):
            vectors[name] = _half_of_either(own, other, chance)
        elif isinstance(own, np.ndarray) and isinstance(other, np.ndarray):
            vectors[name] = _between(own, other, chance)
    seconds, fraction = moment(chance)
    blocks = {name: vector for name, vector in vectors.items() if isinstance(vector, np.ndarray)}
    blocks["position"] = time_features(seconds, fraction, recipe.fusion)
    vectors.pop(CHANGE, None)
    vectors["clip"] = lay_out(blocks, recipe)
    payload = {
        "kind": "clip",
        "live": True,
        "uri": f"file:///films/{number // 100:06d}.mp4",
        "clip_index": number % 100,
        "start_seconds": seconds,
        "end_seconds": seconds + 8.0,
    }
    return ClipPoint(stable_id("mixed", number), vectors, payload)


def _between(own: Float32, other: Float32, chance: np.random.Generator) -> Float32:
    noise = chance.standard_normal(own.shape, dtype=np.float32)
    mixed = own + np.float32(chance.uniform(0.0, MOST_SHARE)) * other
    mixed += np.float32(NOISE) / np.float32(np.linalg.norm(noise)) * noise
    return np.asarray(mixed / np.linalg.norm(mixed), np.float32)


def _half_of_either(own: SparseVector, other: SparseVector, chance: np.random.Generator) -> SparseVector:
    weights: dict[int, float] = {}
    for vector in (other, own):
        kept = chance.permutation(len(vector.indices))[: max(1, len(vector.indices) // 2)]
        weights |= dict(zip(vector.indices[kept].tolist(), vector.values[kept].tolist(), strict=True))
    indices = np.array(sorted(weights), np.uint32)
    return SparseVector(indices, np.array([weights[index] for index in indices.tolist()], np.float32))
