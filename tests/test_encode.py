"""Media -> vectors of every kind, each in its own clip; what a clip lacks is absent."""

import numpy as np
import pytest

from transforms.encode import Models, encode_segment, sound_of_clip
from transforms.encoders import health
from transforms.encoders.catalog import card
from transforms.encoders.network import ClipInput
from transforms.errors import BadVectors
from transforms.recipe import Recipe
from transforms.records import Audio, AudioStream, Clip, Media, Pictures, Segment, VideoInfo, VideoRef

RECIPE = Recipe.of(
    {"name": "x", "motion": {"encoder": "motion:dis"}, "sound": {"encoder": "mfcc:statistics"}, "words": {}}
)
CLIPS = (Clip(0, 10.0, 12.0), Clip(1, 12.0, 14.0), Clip(2, 14.0, 16.0))
INFO = VideoInfo("mp4", 0.0, 60.0, None, AudioStream(0, "aac", 16_000, 1, 0.0, 60.0))
SEGMENT = Segment(VideoRef("file:///v.mp4", 1, "1"), "c" * 64, INFO, 0, 1, CLIPS)


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def media_of(samples):
    want = RECIPE.frame_want("motion")
    assert want is not None
    texture = np.random.default_rng(1).integers(0, 255, (want.spec.height, want.spec.width, 3)).astype(np.uint8)
    moving = [np.roll(texture, 3 * step, axis=1) for step in range(10)]
    pixels = np.stack([*moving, *[texture] * 10])  # the second clip stands still, the third has no picture
    times = 10.0 + 0.2 * np.arange(20)
    chosen = (tuple(range(10)), tuple(range(10, 20)), ())
    return Media({want: Pictures(times, pixels, chosen)}, {16_000: Audio(samples, 16_000, 9.0)})


@pytest.fixture(scope="module")
def encoded():
    samples = np.concatenate([noise(3 * 16_000), np.zeros(2 * 16_000, np.float32), noise(3 * 16_000, 2)])
    return encode_segment(SEGMENT, media_of(samples), Models.load(RECIPE, device="cpu"))


def test_each_clip_has_the_vectors_of_what_it_has(encoded):
    assert [sorted(clip.vectors) for clip in encoded.clips] == [["motion", "speech"], [], ["speech"]]


def test_vectors_are_of_unit_length(encoded):
    for clip in encoded.clips:
        for vector in clip.vectors.values():
            assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-4)


def test_a_clip_hears_its_own_stretch():
    samples = np.arange(10 * 1000, dtype=np.float32) / 10_000
    own = sound_of_clip(Audio(samples, 1000, 5.0), Clip(0, 7.0, 9.0))
    assert own is not None and own.start_seconds == 7.0
    np.testing.assert_array_equal(own.samples, samples[2000:4000])


@pytest.mark.parametrize("clip", [Clip(0, 50.0, 52.0), Clip(0, 0.0, 1.0)])
def test_beyond_the_sound_there_is_none(clip):
    assert sound_of_clip(Audio(noise(1000), 1000, 5.0), clip) is None


def test_silence_is_no_sound():
    assert sound_of_clip(Audio(np.full(4000, 1e-5, np.float32), 1000, 0.0), Clip(0, 0.0, 2.0)) is None
    broken = np.full(4000, np.nan, np.float32)
    assert sound_of_clip(Audio(broken, 1000, 0.0), Clip(0, 0.0, 2.0)) is None


def test_one_vector_for_clearly_different_sounds_stops_the_run():
    found = card("mfcc:statistics")
    row = np.zeros(found.dimensions, np.float32)
    row[0] = 1.0
    hum = np.sin(np.arange(16_000) / 50).astype(np.float32)
    sounds = [Audio(hum, 16_000, 0.0), Audio(noise(16_000), 16_000, 0.0)]
    with pytest.raises(BadVectors, match="one and the same vector for 2 sounds"):
        health.check_sounds(sounds, [row, row], found)
    health.check_sounds([sounds[0], sounds[0]], [row, row], found)  # equal sounds have equal vectors rightly


def test_one_motion_for_several_clips_is_nothing_unusual():
    found = card("motion:dis")
    row = np.zeros(found.dimensions, np.float32)
    row[0] = 1.0
    frames = [np.full((4, 90, 160, 3), level, np.uint8) for level in (0, 255)]
    health.check_clips([ClipInput(one, np.arange(4.0)) for one in frames], [row, row], found)
