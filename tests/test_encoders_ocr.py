"""Text on screen: read right, in order, with its spaces; a picture that has not changed is not read again."""

import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from transforms.encoders import weights
from transforms.encoders.catalog import card, text_encoder_of
from transforms.encoders.families.rapidocr_screen import RapidOcrNetwork, decoded, rows_of_text
from transforms.encoders.network import Pixels
from transforms.encoders.registry import handler, loaded
from transforms.encoders.screen import cells, changed, read_clips
from transforms.errors import MissingWeights, UsageError

NAME = "rapidocr:ppocr-v4"
Piece = tuple[int, int, int, str]  # left, top, height of the letters, text


def drawn(
    *pieces: Piece,
    width: int = 640,
    height: int = 360,
    ink: tuple[int, ...] = (255,) * 3,
    paper: tuple[int, ...] = (20,) * 3,
) -> Pixels:
    """A picture with these texts on it."""
    image = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(image)
    for left, top, size, text in pieces:
        pen.text((left, top), text, fill=ink, font=ImageFont.load_default(size))
    return np.asarray(image)


def frame(path: Path, seconds: float) -> Pixels:
    """The picture at a time of a video of 640 x 360."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-ss", str(seconds), "-i", str(path), "-frames:v", "1"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(360, 640, 3)


def read(picture: Pixels) -> str:
    return loaded(NAME, device="cpu").model.read(picture)


def test_a_sentence_is_read_with_its_spaces():
    assert read(drawn((40, 100, 32, "The rocket stands on the pad"))) == "The rocket stands on the pad"


def test_capitals_keep_their_spaces():
    assert read(drawn((40, 100, 28, "WE TOOK THE ROAD TO THE COAST"))) == "WE TOOK THE ROAD TO THE COAST"


def test_no_line_of_a_slide_is_taken_for_one_upside_down():
    lines = ["Quarterly revenue grew by 14 percent", "Chapter 7: how people learned", "Please keep the doors closed"]
    for ink, paper in (((20, 20, 20), (240, 238, 230)), ((235, 235, 235), (25, 30, 40))):
        pieces = [(60, 60 + 150 * place, 40, text) for place, text in enumerate(lines)]
        text = read(drawn(*pieces, width=1920, height=1080, ink=ink, paper=paper))
        assert text.splitlines() == lines


def test_rows_come_from_top_to_bottom_and_pieces_from_left_to_right():
    pieces = [(380, 40, 30, "second"), (40, 47, 30, "first"), (200, 290, 30, "last"), (40, 170, 30, "middle row")]
    assert read(drawn(*pieces)) == "first second\nmiddle row\nlast"


def test_captions_of_the_examples_are_read(examples: Path):
    assert read(frame(examples / "breakfast.mp4", 20)) == "THE BILL"
    assert "SECONDS" in read(frame(examples / "launch.mp4", 12)).split()
    assert "markers of the coins" in read(frame(examples / "workshop.mp4", 12))


def test_pictures_without_text_give_none(examples: Path):
    assert read(frame(examples / "cat.mp4", 4)) == ""
    assert read(frame(examples / "palace.mp4", 4)) == ""


def test_colours_reach_the_engine_in_the_order_in_which_it_reads_files():
    seen: list[Pixels] = []

    def stand_in(picture: Pixels) -> tuple[None, None]:
        seen.append(picture)
        return None, None

    picture = drawn((40, 100, 32, "colour"), ink=(255, 0, 0), paper=(0, 90, 255))
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    RapidOcrNetwork(stand_in).read(picture)
    engine = loaded(NAME, device="cpu").model.network.engine
    np.testing.assert_array_equal(seen[0], engine.load_img(file.getvalue()))


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (8, 8), (40, 1920), (1920, 12), (360, 640), (2160, 3840)])
@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_of_one_colour_has_no_text(shape: tuple[int, int], level: int):
    assert read(np.full((*shape, 3), level, np.uint8)) == ""


def test_noise_has_no_text():
    assert read(np.random.default_rng(0).integers(0, 256, (180, 320, 3), np.uint8)) == ""


def test_text_on_a_picture_of_4k_is_read():
    assert read(drawn((300, 900, 96, "Quarterly results"), width=3840, height=2160)) == "Quarterly results"


def test_a_ticker_is_read():
    assert read(drawn((20, 6, 24, "Breaking news from the harbour"), width=1280, height=40)) == (
        "Breaking news from the harbour"
    )


def test_a_picture_of_the_decoder_may_be_read_only():
    picture = drawn((40, 100, 32, "read only"))
    picture.flags.writeable = False
    assert read(picture) == "read only"


def test_the_same_picture_gives_the_same_text(examples: Path):
    picture = frame(examples / "workshop.mp4", 12)
    assert read(picture) == read(picture) == read(picture.copy())


def test_the_handler_gives_one_text_a_picture():
    found = handler(NAME, device="cpu")
    pictures = [drawn((40, 100, 32, "one")), drawn((40, 100, 32, "two")), drawn()]
    assert found.run_inference(pictures, found.load_model()) == ["one", "two", ""]


def test_the_card_says_what_it_wants_and_pins_its_weights():
    found = card(NAME)
    assert found.modality == "ocr" and found.frame_choice == "middle" and found.licence == "Apache-2.0"
    assert found.frame_spec is not None and found.frame_spec.fit == "whole"
    assert weights.state(found) == "available"
    with pytest.raises(UsageError, match="no text tower"):
        text_encoder_of(NAME)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "sha256_of", lambda path: "0" * 64)
    with pytest.raises(MissingWeights, match="not the pinned ones"):
        loaded(f"{NAME}?precision=fp32", device="cpu")  # not loaded yet under this name


def test_another_model_is_named_with_the_nearest_one():
    with pytest.raises(UsageError, match="rapidocr:ppocr-v4"):
        card("rapidocr:ppocr-v5")


def line(*steps: tuple[str, float, float], characters: str = "-abc ") -> np.ndarray:
    """Probabilities of (character, its probability, that of a space) at each step; the rest goes to the blank "-"."""
    rows = np.zeros((len(steps), len(characters)), np.float32)
    for row, (character, probability, space) in zip(rows, steps, strict=True):
        row[-1], row[0] = space, 1 - probability - space
        row[characters.index(character)] = probability
    return rows


def test_repeats_are_one_character_unless_a_blank_is_between_them():
    probabilities = line(("a", 0.9, 0), ("a", 0.8, 0), ("-", 1, 0), ("a", 0.7, 0), ("b", 1, 0))
    text, score = decoded(probabilities, "-abc ", least_space=0.01, space_share=0.08)
    assert text == "aab" and score == pytest.approx((0.9 + 0.7 + 1) / 3)


def test_a_space_is_where_the_recognizer_sees_one_even_if_it_is_not_sure():
    weak = line(("a", 1, 0), ("-", 0.9, 0.02), ("b", 1, 0), ("-", 0.9, 0.004), ("c", 1, 0))
    assert decoded(weak, "-abc ", least_space=0.01, space_share=0.08)[0] == "a bc"


def test_where_it_is_sure_of_spaces_a_weak_one_is_none():
    sure = line(("a", 1, 0), (" ", 0.9, 0.9), ("b", 1, 0), ("-", 0.9, 0.02), ("c", 1, 0))
    assert decoded(sure, "-abc ", least_space=0.01, space_share=0.08)[0] == "a bc"


def test_a_weak_space_stands_before_words_only():
    name = line(("a", 1, 0), ("-", 0.8, 0.1), ("_", 1, 0), ("b", 1, 0), characters="-ab_ ")
    assert decoded(name, "-ab_ ", least_space=0.01, space_share=0.08)[0] == "a_b"


def test_chinese_gets_no_spaces():
    title = line(("电", 1, 0), ("-", 0.8, 0.1), ("影", 1, 0), ("-", 0.8, 0.1), ("a", 1, 0), characters="-电影a ")
    assert decoded(title, "-电影a ", least_space=0.01, space_share=0.08)[0] == "电影 a"


def test_a_line_without_a_letter_or_digit_is_no_text():
    assert decoded(line((">", 1, 0), ("?", 1, 0), characters="->? "), "->? ", least_space=0.01, space_share=0.08) == (
        "",
        0.0,
    )


def test_a_blank_line_is_no_text():
    assert decoded(line(("-", 1, 0)), "-abc ", least_space=0.01, space_share=0.08) == ("", 0.0)


def test_pieces_of_one_height_make_a_row():
    def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)

    pieces = [(box(300, 8, 400, 38), "b"), (box(10, 20, 100, 50), "a"), (box(10, 60, 90, 90), "c")]
    assert rows_of_text(pieces) == ["a b", "c"]
    assert rows_of_text([]) == []


class Reader:
    """Reads what is written in the first pixel, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, picture: Pixels) -> str:
        self.count += 1
        return f"slide {picture[0, 0, 0]}"


def slide(number: int) -> Pixels:
    return np.full((90, 160, 3), number, np.uint8)


def test_a_picture_that_has_not_changed_is_not_read_again():
    reader = Reader()
    texts = read_clips([slide(10), slide(10), slide(80), slide(80), slide(10)], reader)
    assert texts == ("slide 10", "slide 10", "slide 80", "slide 80", "slide 10") and reader.count == 3


def test_a_clip_without_a_picture_has_no_text_and_is_not_compared_with():
    reader = Reader()
    assert read_clips([None, slide(9), None, slide(9)], reader) == ("", "slide 9", "", "slide 9")
    assert reader.count == 1
    assert read_clips([], reader) == ()


def test_a_slow_fade_is_read_again():
    reader = Reader()
    texts = read_clips([slide(level) for level in range(0, 20, 2)], reader)  # each step alone is below the noise
    assert reader.count > 3 and texts[-1] != texts[0]


def test_a_changed_word_in_small_letters_is_a_change():
    one, other = (drawn((900, 500, 18, text), width=1920, height=1080) for text in ("page seven", "page eight"))
    assert changed(cells(one), cells(other))


def test_noise_of_compression_is_no_change():
    random = np.random.default_rng(0)
    still = drawn((300, 300, 40, "the same slide"), width=1280, height=720)
    noisy = np.clip(still + random.normal(0, 2, still.shape), 0, 255).astype(np.uint8)
    assert not changed(cells(still), cells(noisy))


def test_another_size_is_a_change():
    assert changed(cells(slide(5)), cells(slide(5)[:50]))


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (71, 127), (1080, 1920)])
def test_cells_hold_the_mean_colours(shape: tuple[int, int]):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = cells(picture)
    assert found.shape == (min(72, shape[0]), min(128, shape[1]), 3)
    assert found[0, 0] == pytest.approx(
        picture[: max(1, shape[0] // len(found)), : max(1, shape[1] // found.shape[1])].mean((0, 1)), abs=1e-3
    )
