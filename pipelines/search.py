"""Questions to an index: text -> query vectors -> the clips that fit best."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from transforms.encoders.catalog import card
from transforms.encoders.light import text_query
from transforms.encoders.spending import questions
from transforms.encoders.words import query_vector, terms_of
from transforms.errors import RecipeMismatch, UsageError
from transforms.fuse import as_block, lay_out
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.query import AUTO, EVERY_CLIP, Hit, search_clips
from transforms.index.store import Reader, Where
from transforms.recipe import SECTIONS, Recipe
from transforms.records import Float32, Vector
from transforms.uris import shown

#: What `auto` fuses; among equals the first wins. `clip` would only echo what `frames` and `transcript` find.
FUSED = ("words", "transcript", "ocr", "frames")

#: In a fusion a transcript counts from this cosine on. By text encoder; measured on 87 labelled questions:
#: of those about pictures 95 in 100 find nothing above 0.31, of those about speech 95 in 100 find something.
LEAST_TRANSCRIPT_COSINE = {"sentence-transformers:all-MiniLM-L6-v2": 0.3}

#: In a fusion a clip counts when it says at least this share of the question's words.
LEAST_WORDS_SHARE = 0.5

#: The blocks of the `clip` vector that a text fills; a question without a time leaves the others at zero.
TEXT_BLOCKS = ("frame", "transcript", "ocr", "audio")

#: The section of the recipe whose encoder's text tower asks a named vector; the text encoder asks the others.
_SECTION_OF = {vector: section for section, (_, vectors) in SECTIONS.items() for vector in vectors if section != "text"}


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A clip that answers a question; times are of the container's clock."""

    video: str  # absolute path, or the URI of what is not local
    start_seconds: float
    end_seconds: float
    score: float
    by: str
    transcript: str | None
    clip_id: str
    media_start_seconds: float = 0.0  # where the container's clock stands when a player shows 0:00
    screen_text: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The hit as `search --json` prints it."""
        values = asdict(self)
        del values["media_start_seconds"]
        return values


class Searcher:
    """An open index that answers questions; keep one for many. Close it, or use it in a `with`."""

    def __init__(self, index: str | IndexLocation) -> None:
        self.location = index if isinstance(index, IndexLocation) else IndexLocation.parse(index)
        self._reader: Reader = open_reader(self.location)
        try:
            self.recipe = Recipe.of(self._reader.schema.settings)
        except BaseException:
            self._reader.close()
            raise

    @property
    def reader(self) -> Reader:
        """The open index itself."""
        return self._reader

    @property
    def names(self) -> tuple[str, ...]:
        """The ways of searching that this index offers."""
        held = self._reader.schema.vector_names
        return (AUTO, *(name for name in held if name != "frames"), *(name for name in held if name == "frames"))

    def search(self, text: str, *, by: str = AUTO, limit: int = 10, where: Where = EVERY_CLIP) -> list[SearchHit]:
        """The `limit` clips that fit the text best, best first. Raises UsageError for an empty text or unknown `by`."""
        vectors = self.query_vectors(text, by=by)
        if not vectors:
            return []
        counts = {
            "transcript": self._is_about,
            "ocr": self._is_about,
            "words": _says_enough_of(text, self.recipe.words_encoder),
        }
        hits = search_clips(self._reader, vectors, by=by, limit=limit, where=where, counts=counts)
        return [_shown(hit) for hit in hits]

    def search_like(self, given: Any, *, by: str, limit: int = 10, where: Where = EVERY_CLIP) -> list[SearchHit]:
        """The `limit` clips nearest to a file, a picture or a sound, by the encoder that filled the named vector.

        This is how encoders without a text tower are asked. Raises UsageError for a vector that this index does not
        hold or whose encoder does not take such an input.
        """
        from pipelines.embedder import ModelEmbedder
        from transforms.encoders.registry import loaded

        able = [name for name in self.names if name not in (AUTO, "clip", "words", "transcript", "ocr", "objects")]
        if by not in able:
            raise UsageError(f"a file cannot be compared with {by!r}; in this index it can with {', '.join(able)}")
        self._check_fingerprints((by,))
        with questions():
            vector = ModelEmbedder(loaded(self.encoder_of(by))).embed(given, "query")
        return [_shown(hit) for hit in search_clips(self._reader, {by: vector}, by=by, limit=limit, where=where)]

    def query_vectors(self, text: str, *, by: str = AUTO) -> dict[str, Vector]:
        """The text as the vectors that `by` compares; empty where no word of it can be looked up."""
        if not text.strip():
            raise UsageError("there is nothing to search for: the question is empty")
        if by not in self.names:
            raise UsageError(f"this index cannot be searched by {by!r}; it can by {', '.join(self.names)}")
        held = self._reader.schema.vector_names
        wanted = self._fused() if by == AUTO else (by,)
        self._check_fingerprints(wanted)
        encoded: dict[str, Float32] = {}
        vectors: dict[str, Vector] = {}
        for name in wanted:
            if name == "words":
                words = query_vector(text, self.recipe.words_encoder)
                if words is not None and len(words.indices):
                    vectors[name] = words
            elif name == "clip":
                askable = [block for block in TEXT_BLOCKS if block in held and self.takes_text(block)]
                found = {block: self._text_in(block, text, encoded) for block in askable}
                blocks = {block: as_block(vector) for block, vector in found.items() if np.any(vector)}
                if blocks:
                    vectors[name] = lay_out(blocks, self.recipe)
            else:
                vector = self._text_in(name, text, encoded)
                if np.any(vector):  # a text of which an encoder knows no word is nowhere
                    vectors[name] = vector
        return vectors

    def close(self) -> None:
        """Let go of the index; calling it twice does no harm."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_about(self, hit: Hit) -> bool:
        return hit.score >= LEAST_TRANSCRIPT_COSINE.get(self.recipe.text_encoder, -1.0)

    def takes_text(self, name: str) -> bool:
        """Whether text can be compared with the named vector."""
        return name in ("words", "clip") or card(self.encoder_of(name)).text_queries

    def encoder_of(self, name: str) -> str:
        """The encoder that filled the named vector, a dense one other than `clip`."""
        section = _SECTION_OF.get(name, "text")
        return self.recipe.encoders()[section]

    def _fused(self) -> tuple[str, ...]:
        """What `auto` asks of this index: all of FUSED that takes text, or else the first vector that does."""
        held = self._reader.schema.vector_names
        fused = tuple(name for name in FUSED if name in held and self.takes_text(name))
        return fused or tuple(name for name in held if name != "clip" and self.takes_text(name))[:1]

    def _text_in(self, name: str, text: str, encoded: dict[str, Float32]) -> Float32:
        """The text in the space of the named vector, (dim,) or (tokens, dim); each text encoder runs once."""
        if not self.takes_text(name):
            able = [held for held in self.names if held != AUTO and self.takes_text(held)]
            raise UsageError(
                f"{name!r} was made by {self.encoder_of(name)}, which has no text tower: no text can be compared "
                f"with it; in this index text can ask {', '.join(able) or 'nothing'}, and {name!r} takes a file"
            )
        encoder = card(self.encoder_of(name))
        tower = encoder.text_encoder or encoder.name
        if tower not in encoded:
            with questions():
                encoded[tower] = text_query(tower, text)
        return encoded[tower]

    def _check_fingerprints(self, names: tuple[str, ...]) -> None:
        """Vectors that other encoders made cannot be compared with what these make of a question."""
        ours, theirs = self.recipe.vector_fingerprints(), self._reader.schema.vector_fingerprints
        for name in names:
            if ours.get(name) != theirs.get(name):
                raise RecipeMismatch(
                    f"the index {self.location} holds {name!r} vectors of another version of the recipe "
                    f"{self.recipe.name!r}: {theirs.get(name)}, this Reelvec makes {ours.get(name)}; "
                    "ingest again into another --index"
                )


def _says_enough_of(text: str, words_encoder: str) -> Callable[[Hit], bool]:
    asked = set(terms_of(text, words_encoder))

    def says_enough(hit: Hit) -> bool:
        payload = hit.payload
        shown = f"{payload.get('transcript', '')} {payload.get('screen_text', '')}"
        said = asked.intersection(terms_of(shown, words_encoder))
        return len(said) >= LEAST_WORDS_SHARE * len(asked)

    return says_enough


def _shown(hit: Hit) -> SearchHit:
    payload = hit.payload
    return SearchHit(
        video=shown(str(payload["uri"])),
        start_seconds=float(payload["start_seconds"]),
        end_seconds=float(payload["end_seconds"]),
        score=round(hit.score, 6),
        by=hit.by,
        transcript=payload.get("transcript"),
        clip_id=hit.id,
        screen_text=payload.get("screen_text"),
        media_start_seconds=float(payload.get("media_start_seconds", 0.0)),
    )
