"""`reelvec train-fusion`: heads, adapters, poolings and tables of positions, trained over the vectors of an index.

Nothing is labelled by hand: words that are spoken or shown stand beside pictures, and clips have neighbours in time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipelines.training_sample import SampledClip, Split, neighbours, sample_clips, split_videos
from transforms.encoders.catalog import card
from transforms.encoders.fusion.tokens import MODALITIES, ClipTokens, Tokens, mean_fusion, tokens_of_clip
from transforms.encoders.fusion.trained import Kind, Trained, write_trained
from transforms.errors import RecipeMismatch, UsageError
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.recipe import Recipe
from transforms.records import Float32

if TYPE_CHECKING:
    from transforms.encoders.fusion.held_out import Change
    from transforms.encoders.fusion.training import TrainSettings

#: Fewer than this say nothing about other videos: a fifth is held out, and six are the fewest that can prove a gain.
LEAST_PAIRS = 64
LEAST_VIDEOS = 30

#: Which pairs: words with the pictures and sounds beside them, clips with the pictures of the clip that follows, both.
Pairs = Literal["words", "neighbours", "both"]

#: Of a video's clips this many pairs at most teach a table of positions.
_MOST_PAIRS_A_VIDEO = 500
_LEAST_PAIRS_A_VIDEO = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What was trained on what, and what it gained on videos that it never saw."""

    kind: Kind
    pairs: Mapping[str, int]  # by set: learn, stop, test
    videos: Mapping[str, int]
    epoch: int  # the best one; 0: the beginning was best
    figures: Mapping[str, "Change"]
    decides: str  # the figure whose interval decides
    written: str  # the file; "" where there was no gain to keep

    @property
    def gained(self) -> bool:
        """Whether the whole 95 % interval of the deciding figure's gain lies above zero."""
        return self.epoch > 0 and self.figures[self.decides].proven

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        held = {name: found.plain() for name, found in self.figures.items()}
        return {
            "kind": self.kind,
            "pairs": dict(self.pairs),
            "videos": dict(self.videos),
            "epoch": self.epoch,
            "held_out": held,
            "decides": self.decides,
            "gained": self.gained,
            "written": self.written,
        }


def train_fusion(
    index: str,
    out: Path,
    settings: "TrainSettings",
    *,
    vector: str = "frame",
    pairs: Pairs = "words",
    max_clips: int = 20_000,
    keep_anyway: bool = False,
) -> Report:
    """Train on an index and write the file, where it gained something or `keep_anyway`. Raises UsageError."""
    reader = open_reader(IndexLocation.parse(index))
    try:
        recipe = Recipe.of(reader.schema.settings)
        prints = recipe.vector_fingerprints()
        if prints != dict(reader.schema.vector_fingerprints):
            raise RecipeMismatch(
                f"{index} holds vectors of another version of its recipe; ingest again before training"
            )
        clips = sample_clips(reader, max_clips=max_clips, seed=settings.seed)
    finally:
        reader.close()
    if settings.kind == "position":
        report, trained = _train_table(clips, settings, index)
    else:
        source = _Source(recipe, settings.kind, vector)
        report, trained = _train_pairs(source, list(source.pairs(clips, pairs)), settings, index, pairs)
    if not report.gained and not keep_anyway:
        return report
    write_trained(trained, out)
    return replace(report, written=str(out))


class _Source:
    """What goes in and what it shall come near, for one kind of training. Raises UsageError where that cannot be."""

    def __init__(self, recipe: Recipe, kind: Kind, vector: str) -> None:
        self.recipe, self.kind = recipe, kind
        if not recipe.text_encoder:
            raise UsageError(f"the recipe {recipe.name!r} has no [text] encoder: there are no words to train towards")
        self.text = card(recipe.text_encoder)
        if self.text.multivector:
            raise UsageError(f"{self.text.name} gives a vector a token; training needs one vector a text")
        self.vector = {"adapter": vector, "attention": "frames"}.get(kind, "")
        if kind == "adapter" and vector not in ("frame", "audio"):
            raise UsageError(f"an adapter is trained for frame or audio: vector={vector!r}")
        if self.vector and not self._in_space(self.vector):
            raise UsageError(
                f"{self._encoder(self.vector) or 'no encoder'} and {self.text.name} share no space, which "
                f"--kind {kind} needs of {self.vector!r}; train a head (--kind head): it maps any space into the texts'"
            )

    @property
    def in_space(self) -> tuple[str, ...]:
        """The modalities whose vectors can be compared with a text's as they are."""
        return (self.vector,) if self.vector else tuple(name for name in MODALITIES if self._in_space(name))

    def inputs(self, used: Sequence[str]) -> dict[str, str]:
        """The fingerprints of what goes in; an adapter's is that of its encoder, whatever the windows are."""
        if self.kind == "adapter":
            return {"encoder": card(self._encoder(self.vector)).fingerprint}
        prints = self.recipe.vector_fingerprints()
        texts = {"texts": self.text.fingerprint} if self.kind == "head" else {}
        return {name: prints[name] for name in used} | texts

    def pairs(self, clips: list[SampledClip], wanted: Pairs) -> Iterator[tuple[SampledClip, ClipTokens, Float32]]:
        """(clip, what it is made of, what it shall come near); no clip sees the words that it shall come near."""
        if wanted in ("words", "both"):
            for clip in clips:
                for name in ("transcript", "ocr"):
                    tokens = self._tokens(clip, without=name)
                    if name in clip.vectors and tokens:
                        yield clip, tokens, clip.vectors[name]
        if wanted in ("neighbours", "both"):
            if not self._in_space("frame"):
                raise UsageError(
                    f"pictures of {self.recipe.frame_encoder!r} lie in another space than texts: --pairs words"
                )
            for one, after in neighbours(clips):
                if (tokens := self._tokens(one)) and "frame" in after.vectors:
                    yield one, tokens, after.vectors["frame"]

    def _tokens(self, clip: SampledClip, without: str = "") -> ClipTokens:
        vectors = {name: vector for name, vector in clip.vectors.items() if name != without}
        if self.kind == "adapter":
            found = vectors.get(self.vector)
            return {} if found is None else {self.vector: Tokens(np.atleast_2d(found), np.full(1, 0.5, np.float32))}
        tokens = tokens_of_clip(vectors, clip.frame_times_seconds, clip.start_seconds, clip.end_seconds)
        return {name: found for name, found in tokens.items() if not self.vector or name == self.vector}

    def _encoder(self, vector: str) -> str:
        section = {"frame": "frames", "frames": "frames", "audio": "audio"}.get(vector, "text")
        return self.recipe.encoders().get(section, "")

    def _in_space(self, vector: str) -> bool:
        name = self._encoder(vector)
        return bool(name) and card(name).space == self.text.space


def _train_pairs(
    source: _Source,
    found: Sequence[tuple[SampledClip, ClipTokens, Float32]],
    settings: "TrainSettings",
    index: str,
    pairs: Pairs,
) -> tuple[Report, Trained]:
    cure = "Index more, or with a recipe that reads speech or screens"
    cure += "" if pairs == "neighbours" else ", or take clips side by side: --pairs neighbours"
    split = _split([clip.video for clip, *_ in found], settings.seed, index, cure=cure)
    from transforms.encoders.fusion import held_out
    from transforms.encoders.fusion.training import Examples, train

    examples = Examples(
        [tokens for _, tokens, _ in found],
        np.stack([target for *_, target in found]),
        [clip.video for clip, *_ in found],
        np.array([clip.start_seconds for clip, *_ in found]),
    )
    learn, stop, test = (examples.of(videos) for videos in (split.learn, split.stop, split.test))
    fit = train(learn, stop, test, source.in_space, settings)
    before = held_out.ranks(mean_fusion(test.clips, source.in_space, test.targets.shape[1]), test.targets)
    figures = held_out.changes(before, held_out.ranks(fit.made, test.targets), test.videos, settings.seed)
    report = _report(settings.kind, split, examples.videos, fit.epoch, figures, "reciprocal_rank")
    used = sorted({name for clip in learn.clips for name in clip})
    return report, Trained(
        kind=settings.kind,
        dimensions=test.targets.shape[1],
        tensors=fit.tensors,
        inputs=source.inputs(used),
        sizes=fit.sizes,
        training=asdict(settings) | {"pairs": dict(report.pairs), "videos": dict(report.videos), "epoch": fit.epoch},
        held_out=report.plain()["held_out"],
    )


def _train_table(clips: list[SampledClip], settings: "TrainSettings", index: str) -> tuple[Report, Trained]:
    if settings.loss != "cosent":
        raise UsageError(f"a table of positions is trained by cosent alone: loss={settings.loss!r}")
    from transforms.encoders.fusion.table import ClipPairs, gain, train_table

    rows = list(_alike(clips, settings.seed))
    cure = "Index more videos that last three clips at least and do not stand still"
    split = _split([video for *_, video in rows], settings.seed, index, cure=cure)
    pairs = ClipPairs(
        np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), [video for *_, video in rows]
    )
    table, history = train_table(
        pairs.of(split.learn), pairs.of(split.stop), epochs=settings.epochs, seed=settings.seed
    )
    figures = {"rank_correlation": gain(table, pairs.of(split.test), settings.seed)}
    report = _report("position", split, pairs.videos, int(np.argmax(history)), figures, "rank_correlation")
    return report, Trained(
        kind="position",
        dimensions=table.shape[1],
        tensors={"table": table},
        training={"loss": "cosent", "seed": settings.seed, "pairs": dict(report.pairs), "videos": dict(report.videos)},
        held_out=report.plain()["held_out"],
    )


def _alike(clips: list[SampledClip], seed: int) -> Iterator[tuple[tuple[float, float], float, str]]:
    """(where two clips of one video are, how alike their pictures are, the video), some pairs of each video."""
    chance = np.random.default_rng(seed)
    by_video: dict[str, list[SampledClip]] = {}
    for clip in clips:
        if "frame" in clip.vectors:
            by_video.setdefault(clip.video, []).append(clip)
    for video, own in by_video.items():
        every = [(one, other) for one in range(len(own)) for other in range(one)]
        rows = []
        for pair in chance.permutation(len(every))[:_MOST_PAIRS_A_VIDEO]:
            one, other = (own[place] for place in every[pair])
            alike = float(one.vectors["frame"] @ other.vectors["frame"])
            rows.append(((one.fraction, other.fraction), alike, video))
        if len(rows) >= _LEAST_PAIRS_A_VIDEO and np.ptp([alike for _, alike, _ in rows]) > 1e-6:
            yield from rows  # fewer, or clips that are all alike, have no order to learn


def _split(videos: Sequence[str], seed: int, index: str, *, cure: str) -> Split:
    """The videos in three sets; raises UsageError where there are too few to say anything."""
    different = len(set(videos))
    if len(videos) < LEAST_PAIRS or different < LEAST_VIDEOS:
        raise UsageError(
            f"{index} gives too little to train on: {len(videos)} pairs of {different} videos; wanted are "
            f"{LEAST_PAIRS} pairs of {LEAST_VIDEOS} videos at least. {cure}"
        )
    return split_videos(videos, seed=seed)


def _report(
    kind: Kind, split: Split, videos: Sequence[str], epoch: int, figures: Mapping[str, "Change"], decides: str
) -> Report:
    count = Counter(videos)
    sets = {"learn": split.learn, "stop": split.stop, "test": split.test}
    return Report(
        kind=kind,
        pairs={name: sum(count[video] for video in own) for name, own in sets.items()},
        videos={name: len(own) for name, own in sets.items()},
        epoch=epoch,
        figures=figures,
        decides=decides,
        written="",
    )
