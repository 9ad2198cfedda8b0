"""Whether two indexes, or an index and its archive, still mean the same by their vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.drift_sides import ClipKey, DriftClip, Side
from pipelines.neighbours import NEAR, Modality, modalities, overlap
from transforms.fuse import as_block
from transforms.records import Float32, SparseVector

if TYPE_CHECKING:
    from pipelines.search import Searcher

#: Clips of each side that are compared unless told otherwise; memory and time grow with its square.
SAMPLE_CLIPS = 2000

#: A clip's vectors on both sides have at least this mean cosine, and this share of their neighbours, in one space.
SAME_COSINE, SAME_OVERLAP = 0.99, 0.9

#: Below this mean cosine of a clip with itself the numbers of the two sides have nothing to do with each other.
OTHER_COSINE = 0.5

#: Where no clip is on both sides only the centroids are left: shifts up to these are the same space, or a moved one.
SAME_SHIFT, MOVED_SHIFT = 0.02, 0.2

#: Two clips of different files with different texts that are closer than this are one vector.
COLLAPSED_COSINE = 0.9999

#: How far from 1 the length of a unit vector may lie.
LENGTH_TOLERANCE = 1e-3

SAME, MOVED, OTHER = "same space", "moved", "another space"

THRESHOLDS = {
    "same_cosine": SAME_COSINE,
    "same_overlap": SAME_OVERLAP,
    "other_cosine": OTHER_COSINE,
    "same_shift_without_common_clips": SAME_SHIFT,
    "moved_shift_without_common_clips": MOVED_SHIFT,
    "collapsed_cosine": COLLAPSED_COSINE,
    "length_tolerance": LENGTH_TOLERANCE,
}

_BY = "rrf"

#: Edges of the histogram of cosines of pairs of clips.
EDGES = tuple(round(-1 + 0.1 * step, 1) for step in range(21))


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The report as plain values; docs/archive.md defines each."""

    index: str
    against: str
    clips: dict[str, int]  # by side
    sampled: dict[str, int]
    common: int  # sampled clips that both sides hold
    vectors: dict[str, dict[str, Any]]  # by named vector
    coverage: dict[str, dict[str, float | None]]  # by named vector, then by side
    queries: dict[str, Any] | None
    thresholds: dict[str, float]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The report as `report drift --json` prints it."""
        return asdict(self)


def drift_report(index: Side, against: Side, *, queries: dict[str, Any] | None = None) -> DriftReport:
    """Compare every named vector that both sides have."""
    common = sorted(index.sample.keys() & against.sample.keys())
    names = [name for name in index.schema.vector_names if name in against.schema.vector_names]
    every = dict.fromkeys((*index.schema.vector_names, *against.schema.vector_names))
    notes = []
    if not common:
        notes.append("no sampled clip is on both sides: only centroids, lengths and scores can be compared")
    alone = [name for name in every if name not in names]
    if alone:
        notes.append(f"only one side has {', '.join(alone)}")
    return DriftReport(
        index=index.shown,
        against=against.shown,
        clips={"index": index.clips_total, "against": against.clips_total},
        sampled={"index": len(index.sample), "against": len(against.sample)},
        common=len(common),
        vectors={name: compare(name, index, against, common) for name in names},
        coverage={name: {"index": index.share(name), "against": against.share(name)} for name in every},
        queries=queries,
        thresholds=dict(THRESHOLDS),
        notes=tuple(notes),
    )


def compare(name: str, index: Side, against: Side, common: Sequence[ClipKey]) -> dict[str, Any]:
    """Every figure of one named vector, and the verdict on it."""
    sizes = [_dimensions(side, name) for side in (index, against)]
    if sizes[0] != sizes[1]:
        reason = f"{sizes[0]} dimensions against {sizes[1]}"
        return {"verdict": OTHER, "number": None, "reason": reason, "clips": 0, "dimensions": sizes}
    both = [key for key in common if all(name in side.sample[key].clip.vectors for side in (index, against))]
    told: dict[str, Any] = {"clips": len(both), "dimensions": sizes}
    dense = sizes[0] is not None
    told["same_clip_cosine"] = _same_clip(name, index, against, both) if dense and both else None
    told["overlap"] = _overlap(name, index, against, both)
    own = {"index": index, "against": against}
    told["centroid_shift"] = _centroid_shift(name, index, against) if dense else None
    told["norms"] = {which: _norms(name, side) for which, side in own.items()} if dense else None
    pairs = {which: _whole(name, side) for which, side in own.items()}
    scores = {which: _pair_scores(one) for which, (one, _) in pairs.items()}
    told["ks"] = _ks(scores["index"], scores["against"])
    told["histogram"] = {which: np.histogram(np.clip(v, -1, 1), EDGES)[0].tolist() for which, v in scores.items()}
    told["collapsed_share"] = (
        {which: _collapsed(one, clips) for which, (one, clips) in pairs.items()} if dense else None
    )
    told |= verdict(told["same_clip_cosine"], told["overlap"], told["centroid_shift"], dense=dense)
    return told


def verdict(
    cosine: float | None, shared: Mapping[str, Any] | None, shift: float | None, *, dense: bool
) -> dict[str, Any]:
    """The verdict, the number that it rests on, and the sentence that names its threshold."""
    near = shared["overlap"] if shared else None
    if cosine is not None:
        said = f"a clip's vectors on both sides have cosine {cosine:.4f} on average"
        if cosine < OTHER_COSINE:
            return {"verdict": OTHER, "number": cosine, "reason": f"{said}, below {OTHER_COSINE}"}
        if cosine < SAME_COSINE:
            return {"verdict": MOVED, "number": cosine, "reason": f"{said}, below {SAME_COSINE}"}
        if near is not None and near < SAME_OVERLAP:
            reason = f"{said}, but only {near:.2f} of the neighbours are shared, below {SAME_OVERLAP}"
            return {"verdict": MOVED, "number": cosine, "reason": reason}
        return {"verdict": SAME, "number": cosine, "reason": f"{said}, at least {SAME_COSINE}"}
    if not dense and near is not None:
        same = near >= SAME_OVERLAP
        said = f"{near:.2f} of the neighbours are shared, {'at least' if same else 'below'} {SAME_OVERLAP}"
        return {"verdict": SAME if same else MOVED, "number": near, "reason": said}
    if shift is None:
        return {"verdict": "unknown", "number": None, "reason": "too few sampled clips carry it on both sides"}
    said = f"no clip is on both sides; the centroids differ by {shift:.4f}"
    if shift <= SAME_SHIFT:
        return {"verdict": SAME, "number": shift, "reason": f"{said}, at most {SAME_SHIFT}"}
    moved = shift <= MOVED_SHIFT
    limit = f"above {SAME_SHIFT}" if moved else f"above {MOVED_SHIFT}"
    return {"verdict": MOVED if moved else OTHER, "number": shift, "reason": f"{said}, {limit}"}


def ask_both(index: "Searcher", against: "Searcher", texts: Sequence[str]) -> dict[str, Any]:
    """How many of the first NEAR hits of each question are the first NEAR hits of the other side too.

    Asked by reciprocal-rank fusion of all modalities, which leaves no hit out as unlikely.
    """
    asked: list[dict[str, Any]] = []
    for text in texts:
        hits = [
            {(hit.video, round(hit.start_seconds * 1000)) for hit in searcher.search(text, by=_BY, limit=NEAR)}
            for searcher in (index, against)
        ]
        most = max(map(len, hits))
        asked.append({"query": text, "overlap": round(len(hits[0] & hits[1]) / most, 4) if most else None})
    shares = [one["overlap"] for one in asked if one["overlap"] is not None]
    mean = round(float(np.mean(shares)), 4) if shares else None
    return {"queries": len(asked), "hits": NEAR, "mean_overlap": mean, "least": sorted(asked, key=_least)[:20]}


def _least(asked: Mapping[str, Any]) -> float:
    return float(asked["overlap"]) if asked["overlap"] is not None else 2.0


def _dimensions(side: Side, name: str) -> int | None:
    """None for a sparse vector."""
    return next((vector.dimensions for vector in side.schema.dense if vector.name == name), None)


def _directions(name: str, clips: Sequence[DriftClip]) -> Float32:
    """(clips, dimensions) one unit vector a clip; a multivector counts by its mean direction."""
    rows = np.stack([as_block(clip.clip.vectors[name]) for clip in clips]).astype(np.float32)
    unit: Float32 = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _carrying(name: str, side: Side) -> list[DriftClip]:
    return [side.sample[key] for key in sorted(side.sample) if name in side.sample[key].clip.vectors]


def _same_clip(name: str, index: Side, against: Side, both: Sequence[ClipKey]) -> float:
    one, other = (_directions(name, [side.sample[key] for key in both]) for side in (index, against))
    return round(float(np.einsum("ij,ij->i", one, other).mean()), 6)


def _overlap(name: str, index: Side, against: Side, both: Sequence[ClipKey]) -> dict[str, Any] | None:
    held = [modalities([side.sample[key].clip for key in both], [name]) for side in (index, against)]
    return overlap(held[0][0], held[1][0]) if all(held) else None


def _centroid_shift(name: str, index: Side, against: Side) -> float | None:
    """1 - cosine of the mean unit vectors."""
    clips = [_carrying(name, side) for side in (index, against)]
    if not all(clips):
        return None
    one, other = (_directions(name, own).mean(axis=0, dtype=np.float64) for own in clips)
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return round(max(0.0, 1 - float(one @ other) / length), 6) if length > 1e-12 else None


def _norms(name: str, side: Side) -> dict[str, float] | None:
    vectors = [clip.clip.vectors[name] for clip in _carrying(name, side)]
    rows = [np.atleast_2d(vector) for vector in vectors if not isinstance(vector, SparseVector)]
    if not rows:
        return None
    lengths = np.linalg.norm(np.concatenate(rows).astype(np.float64), axis=1)
    out = float((np.abs(lengths - 1) > LENGTH_TOLERANCE).mean())
    values = {"min": lengths.min(), "mean": lengths.mean(), "max": lengths.max(), "out_share": out}
    return {what: round(float(value), 6) for what, value in values.items()}


def _whole(name: str, side: Side) -> tuple[Modality | None, list[DriftClip]]:
    clips = _carrying(name, side)
    held = modalities([clip.clip for clip in clips], [name])
    return (held[0] if held else None), clips


def _pair_scores(one: Modality | None) -> Float32:
    """Cosines of all pairs of different sampled clips."""
    if one is None or len(one.carried) < 2:
        return np.zeros(0, np.float32)
    scores: Float32 = one.similarity[np.triu_indices(len(one.carried), 1)]
    return scores


def _ks(one: Float32, other: Float32) -> float | None:
    """The two-sample Kolmogorov-Smirnov distance: the widest gap between the two distributions."""
    if not len(one) or not len(other):
        return None
    one, other = np.sort(one), np.sort(other)
    at = np.concatenate([one, other])
    shares = [np.searchsorted(own, at, side="right") / len(own) for own in (one, other)]
    return round(float(np.abs(shares[0] - shares[1]).max()), 4)


def _collapsed(one: Modality | None, clips: Sequence[DriftClip]) -> float | None:
    """The share of clips so close to one of another file, with another text, that an encoder must have failed."""
    if one is None:
        return None
    contents = np.unique([clip.content or clip.clip.uri for clip in clips], return_inverse=True)[1]
    texts = np.unique([clip.texts for clip in clips], return_inverse=True)
    silent = np.array([not text for text in texts[0]])[texts[1]]
    differ = contents[:, None] != contents[None, :]
    differ &= (texts[1][:, None] != texts[1][None, :]) | (silent[:, None] & silent[None, :])
    close = np.nan_to_num(one.similarity, nan=-1.0) > COLLAPSED_COSINE
    return round(float((close & differ).any(axis=1).mean()), 4)


def sentences(report: DriftReport) -> list[str]:
    """What a person reads first: a verdict a vector, then the questions."""
    told = [f"{name}: {own['verdict']}: {own['reason']}" for name, own in report.vectors.items()]
    if report.queries and report.queries["mean_overlap"] is not None:
        asked = report.queries
        told.append(
            f"{asked['queries']} questions: {asked['mean_overlap']:.2f} of the first {asked['hits']} hits are the same"
        )
    return told
