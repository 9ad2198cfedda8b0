"""A cross-attention head: one learned query over frame, word and sound tokens, each with its place in the clip.

The query attends to the tokens in one or two transformer decoder layers (Vaswani et al., 2017; pooling by attention
of a learned query: Lee et al., 2019, Set Transformer). What comes out is added to the mean fusion of the tokens that
already lie in the texts' space, so an untrained head is nearly that.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from transforms.encoders.fusion.tokens import ClipTokens
from transforms.encoders.fusion.trained import read_trained
from transforms.encoders.weights import sha256_of
from transforms.errors import MissingWeights
from transforms.records import Float32

#: Periods of a token's place, in clips.
_PERIODS = (2.0, 1.0, 0.5, 0.25)
_FIRST_STEP = 1e-4  # standard deviation of the last layer before training: next to nothing is added

#: By modality: vectors (n, k, dim), places (n, k), and whether there is such a token (n, k).
Batch = Mapping[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


class FusionHead(nn.Module):
    """Tokens of clips -> unit vectors (n, dimensions)."""

    def __init__(
        self,
        modalities: Mapping[str, int],
        in_space: Sequence[str],
        dimensions: int,
        width: int = 64,
        layers: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.in_space, self.dimensions = tuple(in_space), dimensions
        self.project = nn.ModuleDict({name: nn.Linear(size, width) for name, size in modalities.items()})
        self.place = nn.Linear(2 * len(_PERIODS), width, bias=False)
        self.query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        layer = nn.TransformerDecoderLayer(width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, layers, norm=nn.LayerNorm(width))
        self.out = nn.Linear(width, dimensions)
        nn.init.normal_(self.out.weight, std=_FIRST_STEP)
        nn.init.zeros_(self.out.bias)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(n, dimensions) of unit length; every clip has a token at least."""
        memory, present = [], []
        for name, (vectors, places, mask) in batch.items():
            memory.append(self.project[name](vectors) + self.place(_waves(places)))
            present.append(mask)
        tokens, missing = torch.cat(memory, dim=1), ~torch.cat(present, dim=1)  # (n, tokens, width), (n, tokens)
        asked = self.query.expand(len(tokens), -1, -1)
        attended = self.decoder(asked, tokens, memory_key_padding_mask=missing)[:, 0]
        return nn.functional.normalize(self._mean_fusion(batch, len(tokens)) + self.out(attended), dim=-1)

    def _mean_fusion(self, batch: Batch, count: int) -> torch.Tensor:
        total = torch.zeros(count, self.dimensions)
        for name in self.in_space:
            if name in batch:
                vectors, _, mask = batch[name]
                total = total + nn.functional.normalize((vectors * mask[..., None]).sum(dim=1), dim=-1)
        return nn.functional.normalize(total, dim=-1)


def collate(clips: Sequence[ClipTokens], modalities: Mapping[str, int]) -> Batch:
    """The tokens of clips, padded by modality; modalities that none of them has are left out."""
    batch = {}
    for name, size in modalities.items():
        longest = max((len(clip[name].places) for clip in clips if name in clip), default=0)
        if not longest:
            continue
        vectors = np.zeros((len(clips), longest, size), np.float32)
        places, mask = np.zeros((len(clips), longest), np.float32), np.zeros((len(clips), longest), bool)
        for place, clip in enumerate(clips):
            if name in clip:
                count = len(clip[name].places)
                vectors[place, :count], places[place, :count] = clip[name].vectors, clip[name].places
                mask[place, :count] = True
        batch[name] = (torch.from_numpy(vectors), torch.from_numpy(places), torch.from_numpy(mask))
    return batch


def run(network: nn.Module, clips: Sequence[ClipTokens], modalities: Mapping[str, int], *, batch: int = 256) -> Float32:
    """What a network makes of clips, (n, dim), without its dropout; in batches, so memory is bounded."""
    network.eval()
    with torch.inference_mode():
        parts = [
            network(collate(clips[start : start + batch], modalities)).numpy() for start in range(0, len(clips), batch)
        ]
    return np.concatenate(parts)


class LoadedHead:
    """A trained head, ready."""

    def __init__(self, network: FusionHead, modalities: Mapping[str, int]) -> None:
        self._network, self._modalities = network, modalities

    def fuse(self, clips: Sequence[ClipTokens]) -> list[Float32 | None]:
        """One unit vector a clip; None for a clip without a token that the head knows."""
        known = [{name: clip[name] for name in self._modalities if name in clip} for clip in clips]
        full = [place for place, clip in enumerate(known) if clip]
        rows: list[Float32 | None] = [None] * len(clips)
        if full:
            for place, row in zip(full, run(self._network, [known[p] for p in full], self._modalities), strict=True):
                rows[place] = row
        return rows


def load_head(path: str) -> LoadedHead:
    """The head of a file, kept while the file stays as it is. Raises MissingWeights for a missing or damaged one."""
    read_trained(path, "head")
    return _loaded(path, sha256_of(Path(path)))


@lru_cache(maxsize=4)
def _loaded(path: str, sha256: str) -> LoadedHead:
    trained = read_trained(path, "head")
    sizes: dict[str, Any] = dict(trained.sizes)
    try:
        network = FusionHead(**sizes)
        network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in trained.tensors.items()})
    except (RuntimeError, TypeError) as error:
        raise MissingWeights(
            f"the tensors of {path} are not those of a head of its sizes ({str(error).splitlines()[0]}); "
            "train it again with: reelvec train-fusion"
        ) from error
    return LoadedHead(network, sizes["modalities"])


def _waves(places: torch.Tensor) -> torch.Tensor:
    """(n, k) -> (n, k, 2 * periods)."""
    angles = places[..., None] * torch.tensor([2 * np.pi / period for period in _PERIODS], dtype=places.dtype)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
