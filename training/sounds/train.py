"""Synthesises the sounds, trains the network on them, and writes its weights and labels into the package.

python -m training.sounds.train            # needs espeak-ng; prints the SHA-256 of what it wrote, for the card
python -m training.sounds.train --development    # without the development families, and what it makes of them
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from training.sounds.dataset import Float32, Sounds, make
from training.sounds.families import FAMILIES, LABELS, Family
from training.sounds.voices import has_espeak
from transforms.encoders.cards import SOUND_LABELS, SOUND_WEIGHTS
from transforms.encoders.catalog import card
from transforms.encoders.registry import loaded
from transforms.encoders.sound_network import SoundNetwork, log_mel, mel_bands
from transforms.encoders.windows import unit_length

NAME = "sound-events:synthetic-v1"
_SHIPPED = Path(__file__).parents[2] / "transforms"
_EACH, _WITHOUT = 32, 300
_EPOCHS, _BATCH = 20, 64
_LENGTHS = (75, 100, 150, 201, 201, 201)  # frames; a batch has one of these
_HEARD, _NOT_HEARD = 0.96, 0.01  # targets: a network that is never quite sure
_RIDGE = 100.0


def synthesised(families: Sequence[Family], *, each: int, without: int, seed: int, processes: int) -> Sounds:
    """What `dataset.make` gives of all families, by several processes."""
    one = partial(_one_family, each=each, seed=seed)
    with ProcessPoolExecutor(processes) as pool:
        parts = [*pool.map(one, families), make((), each=0, without=without, seed=seed)]
    return Sounds(
        np.concatenate([part.samples for part in parts if len(part.samples)]),
        np.concatenate([part.holds for part in parts if len(part.samples)]),
        tuple(name for part in parts for name in part.families),
    )


def _one_family(family: Family, *, each: int, seed: int) -> Sounds:
    return make((family,), each=each, without=0, seed=seed)


def features(sounds: Sounds) -> Tensor:
    """Log-mel bands (n, 64, frames)."""
    bands = mel_bands()
    return torch.cat([log_mel(part, bands) for part in torch.split(torch.from_numpy(sounds.samples), 64)])


def train(bands: Tensor, holds: Tensor, vectors: Float32, *, epochs: int, seed: int) -> SoundNetwork:
    """A network that hears in log-mel bands (n, 64, frames) what they hold (n, labels).

    `vectors` (labels, dim) are the labels' own in the space of text.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = SoundNetwork(holds.shape[1], vectors.shape[1])
    steps = epochs * -(-len(bands) // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    targets = holds * (_HEARD - _NOT_HEARD) + _NOT_HEARD
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for places in torch.split(torch.from_numpy(random.permutation(len(bands))), _BATCH):
            shown, wanted = varied(bands[places], targets[places], random)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(shown)[0], wanted)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(places)
        print(f"epoch {epoch + 1} of {epochs}: loss {total / len(bands):.4f}", file=sys.stderr, flush=True)
    fit_projection(network.eval(), bands, holds, vectors, random)
    return network


def fit_projection(
    network: SoundNetwork, bands: Tensor, holds: Tensor, vectors: Float32, random: np.random.Generator
) -> None:
    """Set the network's projection: ridge regression from what it pools to the mean vector of the labels.

    It sees each sound as it is, and once varied and mixed.
    """
    places = np.array_split(random.permutation(len(bands)), -(-len(bands) // _BATCH))
    shown = [(bands[own], holds[own]) for own in places]
    shown += [varied(bands[own], holds[own], random) for own in places]
    with torch.inference_mode():
        heard = torch.cat([network.pooled(part) for part, _ in shown]).double().numpy()
    wanted = torch.cat([own for _, own in shown]).double().numpy() @ vectors
    full = np.any(wanted, axis=1)
    heard, wanted = heard[full], unit_length(wanted[full].astype(np.float32)).astype(np.float64)
    middle, spread, mean = heard.mean(0), heard.std(0) + 1e-6, wanted.mean(0)
    scaled = (heard - middle) / spread
    ridge = scaled.T @ scaled + _RIDGE * np.eye(scaled.shape[1])
    weight = np.linalg.solve(ridge, scaled.T @ (wanted - mean)) / spread[:, None]
    with torch.no_grad():
        network.projection.weight.copy_(torch.from_numpy(weight.T))
        network.projection.bias.copy_(torch.from_numpy(mean - middle @ weight))


def label_vectors() -> Float32:
    """One unit vector a label (labels, dim): the mean of what the text encoder makes of its sentences."""
    encoder = loaded(card(NAME).text_encoder, device="cpu").model
    return unit_length(np.stack([np.mean(encoder.texts(list(own)), axis=0) for own in LABELS.values()]))


def varied(bands: Tensor, targets: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch as it never was: warped, louder or softer, filtered, mixed with another sound, cut, with gaps."""
    count, height, frames = bands.shape
    draw = partial(_drawn, random, (count, 1, 1))
    curve = torch.nn.functional.interpolate(_drawn(random, (count, 1, 6), -1.6, 1.6), height, mode="linear")
    bands = warped(bands, random) + draw(-2.3, 2.3) + curve.transpose(1, 2)
    other = torch.from_numpy(random.permutation(count))
    mixed = torch.from_numpy(random.uniform(size=count) < 0.3)
    louder = torch.logaddexp(bands, bands[other] + draw(-2.3, 0))
    bands = torch.where(mixed[:, None, None], louder, bands)
    targets = torch.where(mixed[:, None], torch.maximum(targets, targets[other]), targets)
    length = int(random.choice(_LENGTHS))
    if length < frames:  # the loudest moment stays inside
        loudest = bands.logsumexp(1).argmax(1).numpy()
        starts = np.clip(loudest - random.integers(0, length, count), 0, frames - length)
        places = torch.from_numpy(starts)[:, None] + torch.arange(length)
        bands = bands.gather(2, places[:, None, :].expand(-1, height, -1))
    bands = bands.clone()
    for row in bands:
        low, wide = random.integers(0, height), random.integers(0, 9)
        row[low : low + wide] = row.mean()
        first, long = random.integers(0, bands.shape[2]), random.integers(0, 16)
        row[:, first : first + long] = row.mean()
    return bands.clamp(-20.8, 2), targets


def warped(bands: Tensor, random: np.random.Generator) -> Tensor:
    """Each sound a little quicker or slower, higher or lower."""
    count, height, frames = bands.shape
    quicker, higher = _drawn(random, (count, 1), 0.75, 1.33), _drawn(random, (count, 1), -0.12, 0.12)
    across = torch.linspace(-1, 1, frames)[None, :] * quicker  # in front of the start and behind the end: its mirror
    along = torch.linspace(-1, 1, height)[None, :] + higher
    shape = (count, height, frames)
    places = torch.stack([across[:, None, :].expand(shape), along[:, :, None].expand(shape)], -1)
    return torch.nn.functional.grid_sample(
        bands[:, None], places, mode="bilinear", padding_mode="reflection", align_corners=True
    )[:, 0]


def _drawn(random: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.from_numpy(random.uniform(low, high, shape)).float()


def heard(network: SoundNetwork, bands: Tensor) -> tuple[Float32, Float32]:
    """The probability of each label (n, labels), and vectors (n, dim)."""
    with torch.inference_mode():
        parts = [network(part) for part in torch.split(bands, 64)]
    return torch.cat([scores.sigmoid() for scores, _ in parts]).numpy(), torch.cat([own for _, own in parts]).numpy()


def write(network: SoundNetwork, folder: Path) -> dict[str, str]:
    """The two files of the model, and the SHA-256 of each."""
    weights, labels = folder / SOUND_WEIGHTS, folder / SOUND_LABELS
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights)
    labels.write_text(json.dumps(LABELS, indent=1) + "\n")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (weights, labels)}


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--development", action="store_true", help="hold the development families back; write nothing")
    parser.add_argument("--out", type=Path, default=_SHIPPED, help="the folder of the package (default: this one's)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=_EPOCHS)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    if not has_espeak():
        parser.error("espeak-ng is not installed, and three families of speech come from it: apt-get install espeak-ng")
    torch.set_num_threads(1)  # the same weights on any number of cores
    began = time.monotonic()
    uses = ("train",) if chosen.development else ("train", "development")
    families = [family for family in FAMILIES if family.use in uses]
    sounds = synthesised(families, each=_EACH, without=_WITHOUT, seed=chosen.seed, processes=chosen.processes)
    print(f"{len(sounds.samples)} sounds after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    bands, holds = features(sounds), torch.from_numpy(sounds.holds)
    network = train(bands, holds, label_vectors(), epochs=chosen.epochs, seed=chosen.seed)
    if chosen.development:
        from training.sounds.evaluate import report  # which needs this module

        report(network, use="development")
    else:
        for name, sha256 in write(network, chosen.out).items():
            print(f"{sha256}  {name}")
    print(f"trained in {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
