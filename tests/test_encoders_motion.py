"""Motion: which way things go, where in the picture and how fast; no vector where nothing moves."""

from itertools import pairwise

import numpy as np
import pytest

from transforms.encoders.catalog import card, text_encoder_of
from transforms.encoders.network import ClipInput
from transforms.encoders.registry import handler, loaded
from transforms.errors import UsageError
from transforms.records import Float32

HEIGHT, WIDTH, COUNT, EVERY_SECONDS = 90, 160, 9, 0.2


def texture(seed: int) -> np.ndarray:
    """Blobs of all sizes and colours, (height, width, 3) of real numbers from 0 to 255."""
    random = np.random.default_rng(seed)
    spots = random.normal(size=(HEIGHT, WIDTH, 3))
    rows, columns = np.fft.fftfreq(HEIGHT)[:, None, None], np.fft.fftfreq(WIDTH)[None, :, None]
    soft = np.fft.ifft2(np.fft.fft2(spots, axes=(0, 1)) / (0.02 + np.hypot(rows, columns)), axes=(0, 1)).real
    return np.clip(128 + 50 * soft / soft.std(), 0, 255)


def clip(frames: np.ndarray) -> ClipInput:
    return ClipInput(np.asarray(frames, np.uint8), np.arange(len(frames)) * EVERY_SECONDS)


def moving(
    right: int, down: int = 0, *, seed: int = 0, part: tuple[slice, slice] = (slice(None), slice(None))
) -> ClipInput:
    """A picture that moves so many pixels from frame to frame; only in `part` of it, where that is given."""
    still = texture(100 + seed)
    frames = np.stack([still] * COUNT)
    for step in range(COUNT):
        frames[step][part] = np.roll(texture(seed), (down * step, right * step), (0, 1))[part]
    return clip(frames)


def vectors(*clips: ClipInput) -> Float32:
    return loaded("motion:dis", device="cpu").model.clips(list(clips))


def test_opposite_ways_are_far_from_each_other():
    right, left, down, up = vectors(moving(3), moving(-3), moving(0, 3), moving(0, -3))
    for one, other in ((right, left), (down, up), (right, down), (left, up)):
        assert one @ other < 0.5


def test_the_same_motion_of_another_picture_is_near():
    one, other = vectors(moving(3, seed=1), moving(3, seed=2))
    assert one @ other > 0.95


def test_neighbouring_directions_are_nearer_than_opposite_ones():
    right, slanting, down = vectors(moving(4), moving(4, 2), moving(0, 4))
    assert right @ slanting > right @ down + 0.2


def test_a_tenth_of_the_width_in_a_second_counts_half():
    (row,) = vectors(moving(3))  # 3 / 160 / 0.2 = 0.094 widths a second
    amounts = (row[128:] ** 2 * 3 * 16).reshape(4, 4, 2)  # moving and still, of each cell
    np.testing.assert_allclose(amounts.sum(-1), 1, atol=1e-4)
    assert 0.40 < np.median(amounts[:, :, 0]) < 0.52


def test_speed_matters_less_than_direction():
    slow, fast, faster, back = vectors(moving(1), moving(4), moving(8), moving(-4))
    assert slow @ faster < slow @ fast < 0.999
    assert slow @ faster > fast @ back


def test_it_matters_where_in_the_picture_something_moves():
    top_left, bottom_right = (slice(0, 44), slice(0, 78)), (slice(46, 90), slice(82, 160))
    one, again, other = vectors(
        moving(3, part=top_left), moving(3, part=top_left, seed=5), moving(3, part=bottom_right)
    )
    assert one @ again > 0.9 and one @ other < 0.5


def test_the_speed_is_that_of_the_times_and_not_of_the_frames():
    four = moving(4)
    halved = ClipInput(four.frames, four.pts_seconds / 2)
    one, other = vectors(moving(2), ClipInput(moving(4).frames, four.pts_seconds * 2))
    assert one @ other > 0.98
    assert vectors(halved)[0] @ vectors(four)[0] < 0.999


@pytest.mark.parametrize(
    "still",
    [
        clip(np.zeros((COUNT, HEIGHT, WIDTH, 3))),
        clip(np.stack([texture(0)] * COUNT)),
        clip(texture(0)[None]),
        clip(np.zeros((0, HEIGHT, WIDTH, 3))),
        ClipInput(moving(3).frames, np.zeros(COUNT)),  # no time goes by
    ],
    ids=["black", "a photograph", "one frame", "no frame", "one time"],
)
def test_a_clip_without_motion_has_a_row_of_zeros(still: ClipInput):
    (row,) = vectors(still)
    assert not row.any()


def test_grain_is_no_motion():
    random = np.random.default_rng(0)
    flat, photograph = np.full((HEIGHT, WIDTH, 3), 128.0), texture(3)
    for still in (flat, photograph):
        grainy = np.clip(still + random.normal(0, 1.5, (COUNT, HEIGHT, WIDTH, 3)), 0, 255)
        assert not vectors(clip(grainy)).any()


def test_a_cut_is_no_motion():
    slides = np.stack([texture(place // 3) for place in range(COUNT)])
    assert not vectors(clip(slides)).any()


def test_black_and_white_by_turns_is_no_motion():
    flashes = np.stack([np.full((HEIGHT, WIDTH, 3), 255.0 * (place % 2)) for place in range(COUNT)])
    assert not vectors(clip(flashes)).any()


def test_a_clips_row_does_not_depend_on_its_neighbours():
    clips = [moving(3), clip(np.zeros((COUNT, HEIGHT, WIDTH, 3))), moving(-2, 1)]
    for place, one in enumerate(clips):
        np.testing.assert_array_equal(vectors(one)[0], vectors(*clips)[place])


def test_every_direction_has_its_place():
    ways = [(3, 0), (3, 3), (0, 3), (-3, 3), (-3, 0), (-3, -3), (0, -3), (3, -3)]
    rows = vectors(*(moving(*way) for way in ways))
    strongest = [int((row[:128].reshape(16, 8) ** 2).sum(0).argmax()) for row in rows]
    assert strongest == list(range(8))
    assert all(one @ other < 0.9 for one, other in pairwise(rows))


def test_text_cannot_ask_for_motion():
    with pytest.raises(UsageError, match="no text tower"):
        text_encoder_of("motion:dis")


def test_another_model_is_named_with_the_nearest_one():
    with pytest.raises(UsageError, match="motion:dis"):
        card("motion:raft")


def test_an_option_that_it_does_not_have_is_refused():
    with pytest.raises(UsageError, match="grid"):
        card("motion:dis?grid=8")


def test_the_handler_gives_one_row_a_clip():
    found = handler("motion:dis", device="cpu")
    assert len(found.run_inference([moving(3), moving(-3)], found.load_model())) == 2
