"""How often the network names a kind of sound that it knows, made in a way that it never heard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.sounds.dataset import Sounds, dry, make, random_of
from training.sounds.families import FAMILIES, LABELS, Use
from training.sounds.synthesis import Samples
from training.sounds.train import NAME, features, heard, label_vectors
from training.sounds.voices import has_espeak
from transforms.encoders.catalog import card
from transforms.encoders.sound_network import SoundNetwork
from transforms.encoders.windows import unit_length

_EVALUATION_SEED = 1_000  # none of the trainer's


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """How often a sound of each family got each label first: rows are families, columns labels and "nothing"."""

    families: tuple[tuple[str, str], ...]  # (label, name)
    counts: NDArray[np.int64]

    @property
    def top1(self) -> float:
        """The share of right labels, each label counted alike."""
        by_label: dict[str, list[float]] = {}
        for (label, _), row in zip(self.families, self.counts, strict=True):
            by_label.setdefault(label, []).append(row[list(LABELS).index(label)] / row.sum())
        return float(np.mean([np.mean(shares) for shares in by_label.values()]))

    def by_label(self) -> NDArray[np.int64]:
        """The families of a label added up (labels, labels + 1)."""
        rows = np.zeros((len(LABELS), len(LABELS) + 1), np.int64)
        for (label, _), row in zip(self.families, self.counts, strict=True):
            rows[list(LABELS).index(label)] += row
        return rows


def confusion(network: SoundNetwork, *, use: Use, each: int, by_vector: bool = True) -> Confusion:
    """The families of a use, each as a recording might have it; those of espeak-ng only where it is installed.

    A sound's first label is the one whose words are nearest to its vector, or else its likeliest one.
    """
    chosen = [one for one in FAMILIES if one.use == use and (has_espeak() or not one.needs_espeak)]
    words, counts = label_vectors(), []
    for family in chosen:
        bands = features(make((family,), each=each, without=0, seed=_EVALUATION_SEED))
        probabilities, vectors = heard(network, bands)
        likeness = unit_length(vectors) @ words.T if by_vector else probabilities
        first = np.where(probabilities.max(1) >= threshold(), likeness.argmax(1), len(LABELS))
        counts.append(np.bincount(first, minlength=len(LABELS) + 1))
    return Confusion(tuple((one.label, one.name) for one in chosen), np.asarray(counts))


def mixtures(network: SoundNetwork, *, use: Use, count: int) -> tuple[float, float]:
    """Two kinds at once, equally loud: the share of mixtures whose likeliest label is right, and with both heard."""
    random = random_of(_EVALUATION_SEED, "mixtures")
    chosen = [one for one in FAMILIES if one.use == use and (has_espeak() or not one.needs_espeak)]
    sounds: list[Samples] = []
    pairs: list[list[int]] = []
    while len(sounds) < count:
        first, second = (chosen[place] for place in random.integers(0, len(chosen), 2))
        if first.label != second.label:
            loud = [one / (one.std() or 1) for one in (dry(first, random), dry(second, random))]
            sounds.append((loud[0] + loud[1]) / np.abs(loud[0] + loud[1]).max() / 2)
            pairs.append([list(LABELS).index(one.label) for one in (first, second)])
    holds = np.zeros((count, len(LABELS)), np.float32)
    np.put_along_axis(holds, np.asarray(pairs), 1, axis=1)
    probabilities, _ = heard(network, features(Sounds(np.asarray(sounds, np.float32), holds, ())))
    first_right = np.take_along_axis(holds, probabilities.argmax(1)[:, None], 1)
    both = (np.take_along_axis(probabilities, np.asarray(pairs), 1) >= threshold()).all(1)
    return float(first_right.mean()), float(both.mean())


def threshold() -> float:
    """The least probability of an event, as the model's card has it."""
    return card(NAME).setting("threshold")


def false_events(network: SoundNetwork, *, count: int) -> float:
    """The share of sounds of nothing in which an event is heard."""
    probabilities, _ = heard(network, features(make((), each=0, without=count, seed=_EVALUATION_SEED)))
    return float((probabilities.max(1) >= threshold()).mean())


def table(found: Confusion) -> str:
    """Rows are what was made, columns what was heard first, in hundredths; a dot is none."""
    labels = list(LABELS)
    lines = [" " * 10 + "".join(f"{name[:5]:>6}" for name in [*labels, "nothing"])]
    for label, row in zip(labels, found.by_label(), strict=True):
        shares = 100 * row / max(1, row.sum())
        lines.append(f"{label:<10}" + "".join(f"{share:6.0f}" if share >= 0.5 else "     ." for share in shares))
    return "\n".join(lines)


def worst(found: Confusion) -> Sequence[tuple[float, str]]:
    """The families by their share of right labels, the lowest first."""
    labels = list(LABELS)
    shares = (
        row[labels.index(label)] / row.sum() for (label, _), row in zip(found.families, found.counts, strict=True)
    )
    return sorted(
        (float(share), f"{label}: {name}") for share, (label, name) in zip(shares, found.families, strict=True)
    )


def report(network: SoundNetwork, *, use: Use, each: int = 30) -> None:
    """Print what the network makes of the families of a use, and of nothing."""
    found = confusion(network, use=use, each=each)
    print(f"top-1, {use} families: {found.top1:.3f} (chance {1 / len(LABELS):.3f})")
    print(table(found))
    print("; ".join(f"{name} {share:.2f}" for share, name in worst(found)))
    print(f"events heard in nothing: {false_events(network, count=120):.3f}")
