"""Questions to an index: text -> query vectors -> the clips that fit best."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from pipelines.asked import Asked, check_level
from pipelines.confidence import Trust, confidences, trust_in
from pipelines.found import Found
from pipelines.query_vectors import QueryVectors
from pipelines.search_order import search_in_order
from pipelines.search_time import longest_seconds, moment_of, search_by_time, search_near
from pipelines.search_videos import search_videos
from transforms.encoders.spending import questions
from transforms.errors import UsageError
from transforms.index.calibration import LEAST_CONFIDENCE, Calibration, read_calibration
from transforms.index.hits import Hit
from transforms.index.late import check_weights
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.overlap import Overlapping
from transforms.index.query import AUTO, EVERY_CLIP, FUSIONS, MEAN_OF, exact_scores, search_clips
from transforms.index.store import Reader, Where
from transforms.index.videos import best_clips, pooled_form, search_wholes
from transforms.recipe import Recipe
from transforms.records import Vector
from transforms.uris import shown


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A clip, or a whole video, that answers a question; times are of the container's clock."""

    video: str  # absolute path, or the URI of what is not local
    start_seconds: float
    end_seconds: float
    score: float
    by: str
    transcript: str | None
    clip_id: str
    media_start_seconds: float = 0.0  # where the container's clock stands when a player shows 0:00
    screen_text: str | None = None
    confidence: float | None = None  # 0 to 1, how sure it is that this is not chance; None: nothing to tell it by
    fits: bool | None = None  # whether it is better than chance on this corpus
    why: Mapping[str, float] = field(default_factory=dict, hash=False)  # the exact score of each modality

    def as_json(self) -> dict[str, Any]:
        """The hit as `search --json` prints it."""
        values = asdict(self)
        values["media_start_seconds"] = values.pop("media_start_seconds")  # behind the older keys
        return values


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """An index as one question sees it: one version of the points, and what turns texts into vectors for them."""

    reader: Reader
    recipe: Recipe
    vectors: QueryVectors

    def ask(self, asked: Asked) -> list[SearchHit]:
        """The hits for a question with conditions, best first. Raises UsageError for what this index cannot answer."""
        self.vectors.wanted(asked.by)
        weights = self._weights(asked)
        known = asked.texts and not asked.pooled  # what chance scores is known of clips alone
        calibration = read_calibration(self.reader) if known else None
        trust = trust_in(calibration, self.recipe)
        reader = self.reader
        if asked.between_seconds is not None:
            reader = Overlapping(reader, *asked.between_seconds)
        moment = moment_of(asked)
        if not asked.text:
            found = search_by_time(reader, asked)
        elif asked.level == "video":
            found = search_videos(reader, self.vectors, asked, weights=weights, trust=trust)
        elif asked.then is not None:
            found = search_in_order(reader, self.vectors, asked, weights=weights, trust=trust)
        elif moment is not None:
            found = search_near(reader, self.vectors, asked, moment, weights=weights)
        else:
            found = self._fitting(reader, asked, weights, trust)
        return self._told(found, asked, calibration)

    def search_like(
        self,
        given: Any,
        *,
        by: str,
        limit: int = 10,
        where: Where = EVERY_CLIP,
        level: str = "clip",
        pooled: bool = False,
    ) -> list[SearchHit]:
        """The `limit` clips nearest to a file, a picture or a sound, by the encoder that filled the named vector.

        With level="video" the videos, as `Asked` says.

        This is how encoders without a text tower are asked. Raises UsageError for a vector that this index does not
        hold or whose encoder does not take such an input.
        """
        from pipelines.embedder import ModelEmbedder
        from transforms.encoders.registry import loaded

        check_level(level, pooled=pooled)
        no_file = (*FUSIONS, "clip", "words", "transcript", "ocr", "objects")
        able = [name for name in self.vectors.names if name not in no_file]
        if by not in able:
            raise UsageError(f"a file cannot be compared with {by!r}; in this index it can with {', '.join(able)}")
        if pooled:
            pooled_form(by, (by,), self.reader.schema)
        self.vectors.check_fingerprints((by,))
        with questions():
            vector = ModelEmbedder(loaded(self.vectors.encoder_of(by))).embed(given, "query")

        def clips(depth: int) -> list[Hit]:
            return search_clips(self.reader, {by: vector}, by=by, limit=depth, where=where)

        if pooled:
            hits = search_wholes(self.reader, {by: vector}, by=by, limit=limit, where=where)
        else:
            hits = best_clips(clips, limit) if level == "video" else clips(limit)
        return [_shown(Found(hit), {by: hit.score}) for hit in hits]

    def _fitting(self, reader: Reader, asked: Asked, weights: Mapping[str, float], trust: Trust) -> list[Found]:
        """The clips that fit the text best."""
        vectors = self.vectors.of(asked.text, self.vectors.wanted(asked.by))
        if not vectors:
            return []
        hits = search_clips(
            reader,
            vectors,
            by=asked.by,
            limit=asked.limit,
            where=asked.where,
            counts=self.vectors.counting(asked.text),
            weights=weights,
            trust=partial(trust, asked.text),
        )
        return [Found(hit, (hit.id,)) for hit in hits]

    def _told(self, found: Sequence[Found], asked: Asked, calibration: Calibration | None) -> list[SearchHit]:
        """The hits with what each scores in every modality, exactly, for each text of the question."""
        told = [dict(one.scores) for one in found]
        sure: list[list[float | None]] = [[] for _ in found]
        for place, text in enumerate(asked.texts):
            ids = [one.clip_ids[place] for one in found]
            scores = exact_scores(self.reader, ids, self._explaining(text, asked.by))
            own = [scores[one] for one in ids]
            for why, score in zip(told, own, strict=True):
                why |= {f"{_PREFIXES[place]}{name}": value for name, value in score.items()}
            for each, confidence in zip(sure, confidences(calibration, self.vectors, text, asked.by, own), strict=True):
                each.append(confidence)
        return [_shown(one, why, each) for one, why, each in zip(found, told, sure, strict=True)]

    def _weights(self, asked: Asked) -> Mapping[str, float]:
        """The weights of `weighted`: those given, or those of the recipe's blocks; exact words weigh as speech does."""
        if asked.weights:
            check_weights(asked.weights, self.vectors.modalities)
            return asked.weights
        fusion = self.recipe.fusion
        own = {name: getattr(fusion, name, fusion.transcript) for name in self.vectors.modalities}
        return own if any(own.values()) else dict.fromkeys(own, 1.0)

    def _explaining(self, text: str, by: str) -> dict[str, Vector]:
        """The query vectors whose scores say why a hit was found: all modalities of a fusion, else the one asked."""
        single = by not in FUSIONS and by != "clip"
        frames = tuple(name for name, mean in MEAN_OF.items() if mean in self.vectors.modalities)
        names = (by,) if single else (*self.vectors.modalities, *frames)
        return self.vectors.of(text, names)


class Searcher:
    """An open index that answers questions; keep one for many. Close it, or use it in a `with`."""

    def __init__(self, index: str | IndexLocation) -> None:
        self.location = index if isinstance(index, IndexLocation) else IndexLocation.parse(index)
        self._reader: Reader = open_reader(self.location)
        try:
            self._space = self._space_of(self._reader)
        except BaseException:
            self._reader.close()
            raise

    @property
    def recipe(self) -> Recipe:
        """The recipe whose vectors the index holds; another one after a migration."""
        return self._space.recipe

    @property
    def vectors(self) -> QueryVectors:
        """What turns texts into vectors for this index."""
        return self._space.vectors

    @property
    def reader(self) -> Reader:
        """The open index itself."""
        return self._reader

    @property
    def names(self) -> tuple[str, ...]:
        """The ways of searching that this index offers."""
        return self.vectors.names

    def search(self, text: str, *, by: str = AUTO, limit: int = 10, where: Where = EVERY_CLIP) -> list[SearchHit]:
        """The `limit` clips that fit the text best, best first. Raises UsageError for an empty text or unknown `by`."""
        return self.ask(Asked(text, by=by, limit=limit, where=where))

    def ask(self, asked: Asked) -> list[SearchHit]:
        """The hits for a question with conditions, best first. Raises UsageError for what this index cannot answer."""
        with self.pinned() as space:
            return space.ask(asked)

    def search_like(self, given: Any, **asked: Any) -> list[SearchHit]:
        """The clips nearest to a file, a picture or a sound, as `Space.search_like` says."""
        with self.pinned() as space:
            return space.search_like(given, **asked)

    @contextmanager
    def pinned(self) -> Iterator[Space]:
        """The index as it is now: the next question sees what is published or switched to meanwhile."""
        with self._reader.pinned() as reader:
            if reader.schema.recipe != self._space.vectors.schema.recipe:
                self._space = self._space_of(reader)
            yield replace(self._space, reader=reader)

    def longest_seconds(self) -> float:
        """How long the longest video of the index lasts."""
        return longest_seconds(self._reader)

    def query_vectors(self, text: str, *, by: str = AUTO) -> dict[str, Vector]:
        """The text as the vectors that `by` compares; empty where no word of it can be looked up."""
        return self.vectors.of(text, self.vectors.wanted(by))

    def takes_text(self, name: str) -> bool:
        """Whether text can be compared with the named vector."""
        return self.vectors.takes_text(name)

    def encoder_of(self, name: str) -> str:
        """The encoder that filled the named vector, a dense one other than `clip`."""
        return self.vectors.encoder_of(name)

    def _space_of(self, reader: Reader) -> Space:
        recipe = Recipe.of(reader.schema.settings)
        return Space(reader, recipe, QueryVectors(recipe, reader.schema, shown=str(self.location)))

    def close(self) -> None:
        """Let go of the index; calling it twice does no harm."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


#: Before the names of scores: of the first text nothing, of the one that follows it this.
_PREFIXES = ("", "then ")


def _shown(found: Found, why: Mapping[str, float], sure: Sequence[float | None] = ()) -> SearchHit:
    """The hit as it is told; `sure` is the confidence for each text of the question, and the least of them counts."""
    hit, payload = found.hit, found.hit.payload
    known = [confidence for confidence in sure if confidence is not None]
    confidence = round(min(known), 4) if known and len(known) == len(sure) else None
    return SearchHit(
        video=shown(str(payload["uri"])),
        start_seconds=float(payload["start_seconds"]),
        end_seconds=float(payload["end_seconds"]),
        score=round(hit.score, 6),
        by=hit.by,
        transcript=payload.get("transcript"),
        clip_id=found.clip_ids[0] if found.clip_ids else hit.id,
        screen_text=payload.get("screen_text"),
        media_start_seconds=float(payload.get("media_start_seconds", 0.0)),
        confidence=confidence,
        fits=None if confidence is None else confidence >= LEAST_CONFIDENCE,
        why={name: round(score, 6) for name, score in why.items()},
    )
