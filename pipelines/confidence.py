"""How sure a hit is not chance: estimated at the end of a run, looked up by every search."""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from itertools import cycle

import numpy as np

from pipelines.query_vectors import QueryVectors
from transforms.encoders.words import terms_of
from transforms.index.calibration import Calibration, delete_calibration, write_calibration
from transforms.index.query import LIVE_CLIPS, MEAN_OF, rankings
from transforms.index.store import VectorStore
from transforms.recipe import Recipe

#: Short questions about all kinds of things that people film, say and write, one a line.
QUESTIONS = "generic_questions.txt"

#: The same for modalities that are asked about something else: in a space of sounds all pictures are equally far.
OWN_QUESTIONS = {"audio": "generic_sounds.txt"}


_LEAST_TRUST = 0.05

#: (text, modality, its best score) -> weight of the modality, 0 to 1.
Trust = Callable[[str, str, float], float]


def generic_questions(file: str = QUESTIONS) -> list[str]:
    """The packaged questions."""
    return files("pipelines").joinpath(file).read_text(encoding="utf-8").split("\n")[:-1]


def calibrate(store: VectorStore, recipe: Recipe) -> Calibration | None:
    """Ask the index the generic questions and store the best scores that they reach; None where nothing can be asked.

    Only modalities whose text encoder runs without torch are asked: no model is loaded and no service is paid for it.
    """
    texts = QueryVectors(recipe, store.schema, shown="")
    names = [name for name in _compared(texts) if texts.is_light(name)]
    if not names or not store.count(LIVE_CLIPS):
        delete_calibration(store)
        return None
    count = len(generic_questions())
    best = {name: np.zeros(count, np.float32) for name in names}
    for file in (QUESTIONS, *OWN_QUESTIONS.values()):
        asked = tuple(name for name in names if OWN_QUESTIONS.get(name, QUESTIONS) == file)
        questions = generic_questions(file)
        texts.remember(questions, asked)
        for place, question in zip(range(count), cycle(questions), strict=False):
            vectors = texts.of(question, asked)
            for name, hits in rankings(store, vectors, depth=1, where=LIVE_CLIPS).items():
                if hits:
                    best[name][place] = comparable(name, hits[0].score, question, recipe)
    calibration = Calibration(best)
    write_calibration(store, calibration)
    return calibration


def confidences(
    calibration: Calibration | None, texts: QueryVectors, text: str, by: str, scores: Sequence[Mapping[str, float]]
) -> list[float | None]:
    """For each hit, given as its exact scores by modality, how sure it is not chance.

    None throughout where the index has no calibration of all that was compared.
    """
    names = texts.wanted(by) if by != "clip" else texts.fused
    if calibration is None or not set(names) <= set(calibration.best):
        return [None] * len(scores)
    own = [
        {name: comparable(name, score, text, texts.recipe) for name, score in hit.items() if name in names}
        for hit in scores
    ]
    return list(calibration.confidences(own, names))


def trust_in(calibration: Calibration | None, recipe: Recipe) -> Trust:
    """How much `auto` trusts a modality with a question: the share of unrelated questions that find less there.

    1 throughout where the index has no calibration, and never 0, which would make all of a ranking's hits alike.
    """

    def trust(text: str, name: str, score: float) -> float:
        if calibration is None:
            return 1.0
        return max(_LEAST_TRUST, 1.0 - calibration.chance(name, comparable(name, score, text, recipe)))

    return trust


def comparable(name: str, score: float, text: str, recipe: Recipe) -> float:
    """A score that does not grow with the length of the question: BM25 a term asked for, cosines as they are."""
    return score / max(1, len(set(terms_of(text, recipe.words_encoder)))) if name == "words" else score


def _compared(texts: QueryVectors) -> list[str]:
    """Every named vector that a search by a modality or by a fusion compares with a text."""
    fused = (name for name in MEAN_OF if name in texts.schema.vector_names and texts.takes_text(name))
    return [*texts.modalities, *fused]
