"""What else is trained over tokens: an adapter and a pooling. Both begin at what needs no training."""

import torch
from torch import nn

from transforms.encoders.fusion.head import Batch


class AdapterNetwork(nn.Module):
    """unit(v + (v A) B + shift), a low-rank map that begins at the identity (Hu et al., 2021)."""

    def __init__(self, name: str, dimensions: int, rank: int) -> None:
        super().__init__()
        self.name = name
        self.down = nn.Parameter(torch.randn(dimensions, rank) / dimensions**0.5)
        self.up = nn.Parameter(torch.zeros(rank, dimensions))
        self.shift = nn.Parameter(torch.zeros(dimensions))

    def forward(self, batch: Batch) -> torch.Tensor:
        """(n, dim): the mean of the tokens, mapped."""
        vectors, _, mask = batch[self.name]
        mean = nn.functional.normalize((vectors * mask[..., None]).sum(dim=1), dim=-1)
        return nn.functional.normalize(mean + (mean @ self.down) @ self.up + self.shift, dim=-1)


class AttentionNetwork(nn.Module):
    """unit(sum_i softmax(<f_i, q>) f_i); q begins at zero, which is the mean."""

    def __init__(self, name: str, dimensions: int) -> None:
        super().__init__()
        self.name = name
        self.query = nn.Parameter(torch.zeros(dimensions))

    def forward(self, batch: Batch) -> torch.Tensor:
        """(n, dim)."""
        vectors, _, mask = batch[self.name]
        scores = (vectors @ self.query).masked_fill(~mask, -torch.inf)
        return nn.functional.normalize((scores.softmax(dim=1)[..., None] * vectors).sum(dim=1), dim=-1)
