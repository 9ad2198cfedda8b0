"""The losses, as sentence-transformers defines them, over vectors that are there already.

contrastive          Hadsell et al., 2006: own pairs near, hard negatives at least a margin away
triplet              Hermans et al., 2017: the own target nearer than the hard negative, by a margin
multiple-negatives   Henderson et al., 2017: the own target among those of the whole batch and the hard negatives
cosent               Huang et al., 2024: a clip is the nearer to a target, the more alike that is to its own
"""

from typing import Any, Literal, get_args

import torch

Loss = Literal["contrastive", "triplet", "multiple-negatives", "cosent"]
LOSSES: tuple[Loss, ...] = get_args(Loss)

#: Of the cosine distance; the library's own margin of 5 is for vectors of any length.
TRIPLET_MARGIN = 0.2


def loss_of(
    name: Loss, made: torch.Tensor, own: torch.Tensor, near: torch.Tensor, strange: torch.Tensor
) -> torch.Tensor:
    """One number for what was made of clips (n, dim), beside their own, their neighbours' and strangers' targets."""
    if name in ("multiple-negatives", "triplet"):
        return _computed(name, [made, own, near], torch.zeros(len(made)))  # labels mean nothing to these
    if name == "contrastive":
        labels = torch.cat([torch.ones(len(made)), torch.zeros(len(made))])
        return _computed(name, [made.repeat(2, 1), torch.cat([own, near])], labels)
    others = torch.cat([own, near, strange])
    return ranking_loss(made.repeat(3, 1), others, (others * own.repeat(3, 1)).sum(dim=1))


def ranking_loss(one: torch.Tensor, other: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
    """CoSENT of pairs (n, dim) and (n, dim) that are worth so much (n,)."""
    return _computed("cosent", [one, other], worth)


def _computed(name: Loss, vectors: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    loss: torch.Tensor = _library(name).compute_loss_from_embeddings(vectors, labels)
    return loss


def _library(name: Loss) -> Any:
    from sentence_transformers.sentence_transformer import losses

    nothing: Any = None  # the model that the library would ask: the vectors are here already
    if name == "contrastive":
        return losses.ContrastiveLoss(nothing)
    if name == "triplet":
        cosine = losses.TripletDistanceMetric.COSINE
        return losses.TripletLoss(nothing, distance_metric=cosine, triplet_margin=TRIPLET_MARGIN)
    if name == "multiple-negatives":
        return losses.MultipleNegativesRankingLoss(nothing)
    return losses.CoSENTLoss(nothing)
