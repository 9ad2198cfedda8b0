"""What a speech recogniser heard, and what it made up: the voice gate and the signs of invention.

Whisper gives words for any sound, and for music and silence they are invented. Three judges are asked, each of
whom has a number: the voice gate (Silero VAD, one probability each 32 ms), the model's own doubt that anything was
said (`no_speech_probability`, Radford et al., 2022, section 4.5) and how likely it finds its words.
"""

import unicodedata
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from transforms.encoders.cards import Card
from transforms.records import Float32, Word

GATE_RATE_HZ = 16_000
_GATE_SAMPLES = 512  # 32 ms
_SHORTEST_SECONDS = 0.1

#: What Whisper learnt from the ends of subtitle files. Said without a voice it is a phantom.
_PHRASES = (
    # English
    "You", "Thank you", "Thank you very much", "Thank you so much", "Thanks", "Thanks for watching",
    "Thank you for watching", "Thanks for watching and see you next time", "Thank you for listening",
    "Please subscribe", "Please subscribe to my channel", "Like and subscribe", "Don't forget to subscribe",
    "See you next time", "See you in the next video", "I'll see you in the next video", "Bye", "Bye bye", "Goodbye",
    "Okay", "Oh", "Subtitles by", "Transcribed by", "The end", "Music", "Music playing", "Applause",
    # German
    "Untertitel im Auftrag des ZDF für funk", "Untertitelung des ZDF", "Vielen Dank", "Vielen Dank fürs Zuschauen",
    "Bis zum nächsten Mal", "Tschüss",
    # French
    "Sous-titrage Société Radio-Canada", "Sous-titrage ST' 501", "Sous-titrage FR", "Merci", "Abonnez-vous",
    "Merci d'avoir regardé", "Merci d'avoir regardé cette vidéo",
    # Spanish, Portuguese, Italian
    "Gracias", "Muchas gracias", "Gracias por ver el video", "Suscríbete", "Suscríbete al canal", "Obrigado",
    "Obrigado por assistir", "Inscreva-se no canal", "Grazie", "Grazie per la visione", "Grazie a tutti",
    "Sottotitoli e revisione a cura di QTSS", "Iscrivetevi al canale",
    # Dutch, Polish, Turkish, Russian
    "Bedankt voor het kijken", "Tot de volgende keer", "Dziękuję", "Dziękuję za uwagę", "Dziękuję za oglądanie",
    "İzlediğiniz için teşekkür ederim", "İzlediğiniz için teşekkürler", "Altyazı M.K.",  # noqa: RUF001
    "Продолжение следует", "Спасибо за просмотр", "Субтитры сделал DimaTorzok", "Подписывайтесь на канал",
    "Редактор субтитров А.Семкин Корректор А.Егорова",  # noqa: RUF001
    # Chinese, Japanese, Korean
    "谢谢观看", "謝謝觀看", "谢谢大家", "谢谢", "請不吝點贊訂閱轉發打賞支持明鏡與點點欄目",
    "ご視聴ありがとうございました", "ありがとうございました", "チャンネル登録お願いします",
    "시청해주셔서 감사합니다", "감사합니다",
)  # fmt: skip
_CREDIT = "amara org"  # "Subtitles by the Amara.org community", in every language


@dataclass(frozen=True, slots=True)
class Utterance:
    """A few words that belong together, with what each judge says of them."""

    text: str
    words: tuple[Word, ...]  # on the container's clock
    log_probability: float  # the mean of its window's tokens
    compression_ratio: float  # of its window's text
    no_speech_probability: float  # of its window
    voice_probability: float  # the gate's highest one while it was said


def believable(said: Utterance, card: Card) -> bool:
    """Whether the model heard this rather than made it up.

    No words that it finds unlikely, and no loops. Where the gate or the model doubts that there was a voice at all,
    the words have to be surer, and a phrase that Whisper is known to say over non-speech is not believed.
    """
    if said.log_probability < card.setting("min_log_probability") or is_loop(said.text):
        return False
    if said.compression_ratio > card.setting("max_compression_ratio"):
        return False
    doubted = said.no_speech_probability > card.setting(
        "max_no_speech_probability"
    ) or said.voice_probability < card.setting("sure_voice_probability")
    return not doubted or (
        said.log_probability >= card.setting("doubted_min_log_probability") and not is_phantom(said.text)
    )


def compression_ratio(text: str) -> float:
    """The size of the text over its size when packed; what repeats itself packs well."""
    raw = text.strip().encode()
    return len(raw) / len(zlib.compress(raw))


def is_loop(text: str) -> bool:
    """Whether the text says one thing over and over, as Whisper does when it hears no speech."""
    words = text.lower().split()
    if len(words) < 6:
        return False
    return len(set(words)) <= len(words) / 4 or compression_ratio(" ".join(words)) > 2.4


def is_phantom(text: str) -> bool:
    """Whether the whole of the text is a phrase that Whisper is known to say where nobody speaks."""
    said = plain(text)
    return said in _phantoms() or _CREDIT in said


@cache
def _phantoms() -> frozenset[str]:
    return frozenset(("", *map(plain, _PHRASES)))


def plain(text: str) -> str:
    """The text in small letters, without accents, punctuation and years."""
    letters = unicodedata.normalize("NFKD", text.casefold().replace("'", "").replace("\u2019", ""))
    kept = "".join(letter if letter.isalnum() else " " for letter in letters if not unicodedata.combining(letter))
    words = unicodedata.normalize("NFC", kept).split()
    return " ".join(word for word in words if not (word.isdecimal() and len(word) == 4))


@dataclass(frozen=True, eq=False)
class Voice:
    """Where in a sound somebody may be speaking: the gate's probabilities, and the spans that it opens for."""

    probabilities: Float32  # one each 32 ms
    spans: tuple[tuple[int, int], ...]  # in samples, in order

    def joined(self, samples: Float32) -> Float32:
        """The spans one after another."""
        return np.concatenate([samples[start:end] for start, end in self.spans] or [samples[:0]])

    def seconds_at(self, joined_seconds: float, *, ends: bool = False) -> float:
        """Where a time of the joined spans lies in the whole sound; an end belongs to the span before a cut."""
        if not self.spans:
            return joined_seconds
        place = round(joined_seconds * GATE_RATE_HZ)
        before = (bisect_left if ends else bisect_right)(self._starts, place) - 1
        span = min(max(before, 0), len(self.spans) - 1)
        return (self.spans[span][0] + place - self._starts[span]) / GATE_RATE_HZ

    def highest(self, start_seconds: float, end_seconds: float) -> float:
        """The gate's highest probability between two times of the whole sound."""
        first = max(0, int(start_seconds * GATE_RATE_HZ / _GATE_SAMPLES))
        last = int(end_seconds * GATE_RATE_HZ / _GATE_SAMPLES) + 1
        return float(self.probabilities[first:last].max(initial=0.0))

    @cached_property
    def _starts(self) -> list[int]:
        lengths = [end - start for start, end in self.spans]
        return [0, *np.cumsum(lengths)[:-1].tolist()]


def voice_of(samples: Float32, card: Card) -> Voice | None:
    """Where somebody may speak in samples (n,) at 16 kHz; None where nobody does."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps, get_vad_model

    if len(samples) < _SHORTEST_SECONDS * GATE_RATE_HZ:
        return None
    probabilities = np.asarray(get_vad_model()(np.pad(samples, (0, -len(samples) % _GATE_SAMPLES))), np.float32).ravel()
    if probabilities.max(initial=0.0) < card.setting("voice_threshold"):
        return None
    spans: Sequence[dict[str, int]] = get_speech_timestamps(samples, VadOptions(**gate_options(card)))
    if not spans:
        return None
    return Voice(probabilities, tuple((span["start"], span["end"]) for span in spans))


def gate_options(card: Card) -> dict[str, float]:
    """The gate's options, by the names that faster-whisper has for them."""
    return {
        "threshold": card.setting("voice_threshold"),
        "min_speech_duration_ms": int(card.setting("min_speech_msec")),
    }
