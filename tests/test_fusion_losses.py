"""The losses over precomputed vectors: the formulas of their papers, on numbers; and what held-out gain means."""

import numpy as np
import pytest
import torch

from tests.trained_files import units
from transforms.encoders.fusion import held_out
from transforms.encoders.fusion.head import FusionHead, collate, run
from transforms.encoders.fusion.losses import LOSSES, TRIPLET_MARGIN, loss_of, ranking_loss
from transforms.encoders.fusion.networks import AdapterNetwork, AttentionNetwork
from transforms.encoders.fusion.tokens import Tokens, mean_fusion, tokens_of_clip

MADE, OWN, NEAR, STRANGE = (torch.from_numpy(units(seed, 5, 16)) for seed in range(4))


def cosines(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    return (one * other).sum(1).numpy().astype(np.float64)


def test_multiple_negatives_is_the_cross_entropy_of_the_own_among_all() -> None:
    scores = 20 * (MADE @ torch.cat([OWN, NEAR]).T).numpy().astype(np.float64)
    expected = np.mean(np.log(np.exp(scores).sum(1)) - np.diagonal(scores))
    assert loss_of("multiple-negatives", MADE, OWN, NEAR, STRANGE).item() == pytest.approx(expected, rel=1e-4)


def test_triplet_wants_the_own_nearer_by_a_margin() -> None:
    expected = np.maximum(cosines(MADE, NEAR) - cosines(MADE, OWN) + TRIPLET_MARGIN, 0).mean()
    assert loss_of("triplet", MADE, OWN, NEAR, STRANGE).item() == pytest.approx(expected, rel=1e-4)


def test_contrastive_draws_the_own_near_and_pushes_the_neighbour_away() -> None:
    near, far = 1 - cosines(MADE, OWN), 1 - cosines(MADE, NEAR)
    expected = 0.5 * np.concatenate([near**2, np.maximum(0.5 - far, 0) ** 2]).mean()
    assert loss_of("contrastive", MADE, OWN, NEAR, STRANGE).item() == pytest.approx(expected, rel=1e-4)


def test_cosent_counts_every_pair_of_pairs_in_the_wrong_order() -> None:
    worth, scores = np.array([0.9, 0.1, 0.5, 0.5, 0.2]), 20 * cosines(MADE, OWN)
    wrong = [np.exp(scores[k] - scores[i]) for i in range(5) for k in range(5) if worth[i] > worth[k]]
    expected = np.log(1 + sum(wrong))
    assert ranking_loss(MADE, OWN, torch.from_numpy(worth).float()).item() == pytest.approx(expected, rel=1e-4)


class Given(torch.nn.Module):
    """A model of sentence-transformers whose vectors are its inputs."""

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return features | {"sentence_embedding": features["rows"]}


def test_losses_and_gradients_are_those_that_the_library_gives_a_model_of_its_own() -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses as library

    model = SentenceTransformer(modules=[Given()], device="cpu")
    cosine = library.TripletDistanceMetric.COSINE
    both, three = torch.cat([OWN, NEAR]), torch.cat([OWN, NEAR, STRANGE])
    halves = torch.tensor([1.0] * 5 + [0.0] * 5)
    worth = (three * OWN.repeat(3, 1)).sum(1)
    triplet = library.TripletLoss(model, distance_metric=cosine, triplet_margin=TRIPLET_MARGIN)
    cases = {
        "contrastive": (library.ContrastiveLoss(model), 2, [both], halves),
        "triplet": (triplet, 1, [OWN, NEAR], torch.zeros(5)),
        "multiple-negatives": (library.MultipleNegativesRankingLoss(model), 1, [OWN, NEAR], torch.zeros(5)),
        "cosent": (library.CoSENTLoss(model), 3, [three], worth),
    }
    assert set(cases) == set(LOSSES)
    for name, (theirs, repeats, others, labels) in cases.items():
        made, same = MADE.clone().requires_grad_(), MADE.clone().requires_grad_()
        features = [{"rows": rows} for rows in (same.repeat(repeats, 1), *others)]
        ours, wanted = loss_of(name, made, OWN, NEAR, STRANGE), theirs(features, labels)  # type: ignore[arg-type]
        assert ours.item() == pytest.approx(wanted.item(), rel=1e-6) and wanted.item() > 0.0
        ours.backward()  # type: ignore[no-untyped-call]
        wanted.backward()
        torch.testing.assert_close(made.grad, same.grad)


def test_ranks_count_what_is_above_and_share_ties() -> None:
    targets = np.eye(4, dtype=np.float32)
    made = np.eye(4, dtype=np.float32)
    made[1] = made[0]  # two clips that are one and the same
    assert held_out.ranks(made, targets).tolist() == [1.5, 2.5, 1.0, 1.0]
    assert held_out.recall(np.array([1.0, 5.0, 6.0]), 5).tolist() == [1.0, 1.0, 0.0]


def test_an_interval_is_drawn_over_videos_and_widens_with_their_disagreement() -> None:
    before = np.zeros(80)
    videos = [f"v{place // 10}" for place in range(80)]
    steady = held_out.change(before, np.full(80, 0.2), videos)
    assert steady.proven and steady.gain_low == pytest.approx(0.2) and steady.gain_high == pytest.approx(0.2)
    one_video = held_out.change(before, np.repeat([1.6, *[0.0] * 7], 10), videos)
    assert one_video.after == pytest.approx(0.2) and not one_video.proven


def test_a_gain_cannot_be_proven_on_few_videos_however_large_it_is() -> None:
    for count, proven in ((5, False), (6, True)):
        videos = [f"v{place}" for place in range(count)]
        assert held_out.change(np.zeros(count), np.full(count, 0.5), videos).proven is proven


CLIPS = [
    {
        "frames": Tokens(units(5, 3), np.array([0.0, 0.5, 1.0], np.float32)),
        "ocr": Tokens(units(6, 1), np.full(1, 0.5, np.float32)),
    },
    {"frames": Tokens(units(7, 2), np.array([0.2, 0.8], np.float32))},
]
SIZES = {"frames": 384, "ocr": 384}


def test_what_is_trained_begins_at_what_needs_no_training() -> None:
    torch.manual_seed(0)
    frames = [{"frames": clip["frames"]} for clip in CLIPS]
    wanted = mean_fusion(frames, ("frames",), 384)
    for network in (AdapterNetwork("frames", 384, 4), AttentionNetwork("frames", 384)):
        np.testing.assert_allclose(run(network, frames, {"frames": 384}), wanted, atol=1e-6)
    head = FusionHead(SIZES, ("frames", "ocr"), 384)
    np.testing.assert_allclose(run(head, CLIPS, SIZES), mean_fusion(CLIPS, ("frames", "ocr"), 384), atol=1e-2)


def test_clips_of_one_batch_do_not_change_each_other() -> None:
    torch.manual_seed(0)
    head = FusionHead(SIZES, ("frames",), 384, layers=2)
    torch.nn.init.normal_(head.out.weight)
    together = run(head, CLIPS, SIZES)
    for place, clip in enumerate(CLIPS):
        np.testing.assert_allclose(run(head, [clip], SIZES)[0], together[place], atol=1e-5)


def test_a_head_sees_when_a_frame_is_shown() -> None:
    torch.manual_seed(0)
    head = FusionHead(SIZES, ("frames",), 384)
    torch.nn.init.normal_(head.out.weight)
    forth, back = (
        tokens_of_clip({"frames": units(5, 3)}, times, 10.0, 18.0) for times in ((10.0, 12.0, 17.0), (17.0, 12.0, 10.0))
    )
    assert forth["frames"].places.tolist() == pytest.approx([0.0, 0.25, 0.875])
    made = run(head, [forth, back], SIZES)
    assert np.abs(made[0] - made[1]).max() > 1e-4


def test_padding_is_no_token() -> None:
    vectors, _, mask = collate(CLIPS, SIZES)["frames"]
    assert mask.tolist() == [[True] * 3, [True, True, False]] and not vectors[1, 2].any()
