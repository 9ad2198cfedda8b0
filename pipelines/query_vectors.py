"""Texts -> the vectors that an index is asked with."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from transforms.encoders.catalog import card
from transforms.encoders.light import has_light, kept_text_vectors, text_query
from transforms.encoders.spending import questions
from transforms.encoders.words import query_vector, terms_of
from transforms.errors import RecipeMismatch, UsageError
from transforms.fuse import as_block, lay_out
from transforms.index.hits import Hit
from transforms.index.query import AUTO, FUSIONS, MEAN_OF
from transforms.recipe import SECTIONS, Recipe
from transforms.records import Float32, Schema, Vector

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


class QueryVectors:
    """What texts become for one index. Each text goes through each text encoder once, however often it is asked."""

    def __init__(self, recipe: Recipe, schema: Schema, *, shown: str) -> None:
        self.recipe, self.schema = recipe, schema
        self._shown = shown
        self._encoded: dict[tuple[str, str], Float32] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The ways of searching that this index offers."""
        held = self.schema.vector_names
        single = (*(name for name in held if name != "frames"), *(name for name in held if name == "frames"))
        return (AUTO, *single, *(name for name in FUSIONS if name != AUTO))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The named vectors that a text can ask, one a modality: not `clip`, and the mean for its frames."""
        held = self.schema.vector_names
        return tuple(name for name in held if name != "clip" and name not in MEAN_OF and self.takes_text(name))

    @property
    def fused(self) -> tuple[str, ...]:
        """What `auto` asks of this index: all of FUSED that takes text, or else the first vector that does."""
        held = self.schema.vector_names
        fused = tuple(name for name in FUSED if name in held and self.takes_text(name))
        return fused or self.modalities[:1]

    def wanted(self, by: str) -> tuple[str, ...]:
        """The named vectors that this way of searching compares; raises UsageError for one that is not offered."""
        if by not in self.names:
            raise UsageError(f"this index cannot be searched by {by!r}; it can by {', '.join(self.names)}")
        return self.fused if by == AUTO else self.modalities if by in FUSIONS else (by,)

    def of(self, text: str, names: tuple[str, ...]) -> dict[str, Vector]:
        """The text as each of these named vectors wants it; without those in which no word of it can be looked up."""
        if not text.strip():
            raise UsageError("there is nothing to search for: the question is empty")
        self.check_fingerprints(names)
        vectors: dict[str, Vector] = {}
        for name in names:
            if name == "words":
                words = query_vector(text, self.recipe.words_encoder)
                if len(words.indices):
                    vectors[name] = words
            elif name == "clip" and not self.recipe.clip_encoder:
                if blocks := self.blocks(text):
                    vectors[name] = lay_out(blocks, self.recipe)
            else:
                vector = self.text_in(name, text)
                if np.any(vector):  # a text of which an encoder knows no word is nowhere
                    vectors[name] = vector
        return vectors

    def blocks(self, text: str) -> dict[str, Float32]:
        """The text as blocks of the `clip` vector, those that text can fill; none where it is no row of blocks."""
        if self.recipe.clip_encoder:
            return {}
        askable = [name for name in TEXT_BLOCKS if name in self.schema.vector_names and self.takes_text(name)]
        found = {name: self.text_in(name, text) for name in askable}
        return {name: as_block(vector) for name, vector in found.items() if np.any(vector)}

    def takes_text(self, name: str) -> bool:
        """Whether text can be compared with the named vector."""
        return name in ("words", "clip") or card(self.encoder_of(name)).text_queries

    def encoder_of(self, name: str) -> str:
        """The encoder that filled the named vector, or whose texts a `clip` that is no row of blocks is asked with."""
        if name == "clip" and self.recipe.clip_encoder:
            return self.recipe.clip_encoder
        return self.recipe.encoders()[_SECTION_OF.get(name, "text")]

    def text_in(self, name: str, text: str) -> Float32:
        """The text in the space of the named vector, (dim,) or (tokens, dim)."""
        if not self.takes_text(name):
            able = [held for held in self.names if held not in FUSIONS and self.takes_text(held)]
            raise UsageError(
                f"{name!r} was made by {self.encoder_of(name)}, which has no text tower: no text can be compared "
                f"with it; in this index text can ask {', '.join(able) or 'nothing'}, and {name!r} takes a file"
            )
        tower = self._tower(name)
        if (tower, text) not in self._encoded:
            if len(self._encoded) >= _REMEMBERED:
                self._encoded.clear()
            with questions():
                self._encoded[tower, text] = text_query(tower, text)
        return self._encoded[tower, text]

    def is_light(self, name: str) -> bool:
        """Whether text is brought into the space of the named vector without a library of models or a service."""
        return name == "words" or (self.takes_text(name) and has_light(card(self._tower(name))))

    def remember(self, texts: Sequence[str], names: Iterable[str]) -> None:
        """Encode texts that come again in other runs, for named vectors that are light."""
        for tower in {self._tower(name) for name in names if name != "words"}:
            self._encoded |= {
                (tower, text): vector for text, vector in zip(texts, kept_text_vectors(tower, texts), strict=True)
            }

    def _tower(self, name: str) -> str:
        """The text encoder of the space of the named vector."""
        encoder = card(self.encoder_of(name))
        return encoder.text_encoder or encoder.name

    def check_fingerprints(self, names: tuple[str, ...]) -> None:
        """Vectors that other encoders made cannot be compared with what these make of a question."""
        ours, theirs = self.recipe.vector_fingerprints(), self.schema.vector_fingerprints
        for name in names:
            if ours.get(name) != theirs.get(name):
                raise RecipeMismatch(
                    f"the index {self._shown} holds {name!r} vectors of another version of the recipe "
                    f"{self.recipe.name!r}: {theirs.get(name)}, this Reelvec makes {ours.get(name)}; "
                    "ingest again into another --index"
                )

    def counting(self, text: str) -> dict[str, Callable[[Hit], bool]]:
        """What a hit must have to count in `auto`, by named vector."""
        return {
            "transcript": self._is_about,
            "ocr": self._is_about,
            "words": _says_enough_of(text, self.recipe.words_encoder),
        }

    def _is_about(self, hit: Hit) -> bool:
        return hit.score >= LEAST_TRANSCRIPT_COSINE.get(self.recipe.text_encoder, -1.0)


#: Texts whose vectors are kept.
_REMEMBERED = 1024


def _says_enough_of(text: str, words_encoder: str) -> Callable[[Hit], bool]:
    asked = set(terms_of(text, words_encoder))

    def says_enough(hit: Hit) -> bool:
        payload = hit.payload
        shown = f"{payload.get('transcript', '')} {payload.get('screen_text', '')}"
        said = asked.intersection(terms_of(shown, words_encoder))
        return len(said) >= LEAST_WORDS_SHARE * len(asked)

    return says_enough
