"""Sound -> words with times, by Whisper (Radford et al., 2022) as CTranslate2 runs it, behind a voice gate."""

import os
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as Utterance

from transforms.encoders.cards import SILERO, WHISPER_MODEL, Card
from transforms.encoders.device import kept, resolve
from transforms.encoders.weights import verify
from transforms.records import Audio, Float32, Transcript, Word

_MAX_THREADS = 4  # a model this small gains nothing from more
_SHORTEST_SECONDS = 0.1


@dataclass(eq=False)
class SpeechModel:
    """Whisper on its device; one thread at a time."""

    whisper: WhisperModel
    card: Card
    lock: threading.Lock = field(default_factory=threading.Lock)

    def transcribe(self, audio: Audio) -> Transcript:
        """The words of one stretch of sound, in order; none for silence, tones, noise and music."""
        samples = usable_samples(audio.samples)
        if len(samples) < _SHORTEST_SECONDS * audio.sample_rate_hz:
            return Transcript()
        with self.lock:
            utterances, _ = self.whisper.transcribe(
                samples,
                language="en",
                beam_size=int(self.card.setting("beam_size")),
                temperature=0.0,  # no sampling: the same sound gives the same words
                condition_on_previous_text=False,  # one wrong window would spoil the next
                word_timestamps=True,
                vad_filter=True,
                vad_parameters={
                    "threshold": self.card.setting("voice_threshold"),
                    "min_speech_duration_ms": int(self.card.setting("min_speech_msec")),
                },
            )
            said = [utterance for utterance in utterances if believable(utterance, self.card)]
        return Transcript(words_of(said, audio))


def usable_samples(samples: Float32) -> Float32:
    """The samples with those that are no number as silence, and none beyond full scale."""
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)


def believable(utterance: Utterance, card: Card) -> bool:
    """Whether the model heard this rather than made it up: likely enough, spoken, and no loop."""
    if utterance.avg_logprob < card.setting("min_log_probability"):
        return False
    if utterance.no_speech_prob > card.setting("max_no_speech_probability") and utterance.avg_logprob < -0.5:
        return False
    return utterance.compression_ratio <= card.setting("max_compression_ratio") and not is_loop(utterance.text)


def is_loop(text: str) -> bool:
    """Whether the text says one thing over and over, as Whisper does when it hears no speech."""
    words = text.lower().split()
    if len(words) < 6:
        return False
    packed = len(zlib.compress(" ".join(words).encode()))
    return len(set(words)) <= len(words) / 4 or len(" ".join(words)) / packed > 2.4


def words_of(utterances: Iterable[Utterance], audio: Audio) -> tuple[Word, ...]:
    """The words on the container's clock, inside the stretch that was heard."""
    length_seconds = len(audio.samples) / audio.sample_rate_hz
    words = []
    for utterance in utterances:
        for word in utterance.words or ():
            start = min(max(float(word.start), 0.0), length_seconds)
            end = min(max(float(word.end), start), length_seconds)
            if word.word.strip():
                words.append(
                    Word(
                        text=word.word.strip(),
                        start_seconds=audio.start_seconds + start,
                        end_seconds=audio.start_seconds + end,
                        probability=float(word.probability),
                    )
                )
    return tuple(words)


def load_speech_model(card: Card, device: str) -> SpeechModel:
    """Load what the card pins onto cpu or cuda; raises MissingWeights."""
    paths = {weights.file: verify(weights) for weights in card.weights}
    assert SILERO in paths  # faster-whisper takes the voice gate from its own folder, which is the one verified
    whisper = WhisperModel(
        str(paths[WHISPER_MODEL].parent),
        device=device,
        compute_type=str(dict(card.settings)["compute_type"]),
        cpu_threads=min(_MAX_THREADS, len(os.sched_getaffinity(0))),
        local_files_only=True,
    )
    return SpeechModel(whisper, card)


def _cuda_devices() -> int:
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count())


class SpeechHandler(ModelHandler[Audio, Transcript, SpeechModel]):
    """Audio at the card's rate -> Transcript on the container's clock. Holds no model."""

    def __init__(self, card: Card, device: str = "auto") -> None:
        super().__init__(min_batch_size=1, max_batch_size=8)
        self.card = card
        self.device = device

    def load_model(self) -> SpeechModel:
        """The model, loaded once a process and kept over runs."""
        taken = resolve(self.device, name=self.card.name, cuda_devices=_cuda_devices)
        return kept((self.card, taken), lambda: load_speech_model(self.card, taken))

    def run_inference(
        self, batch: Sequence[Audio], model: SpeechModel, inference_args: Mapping[str, Any] | None = None
    ) -> list[Transcript]:
        """One transcript an element, in order; raises ValueError for another sample rate than the card's."""
        for audio in batch:
            if audio.sample_rate_hz != self.card.sample_rate_hz:
                raise ValueError(
                    f"{self.card.name} hears {self.card.sample_rate_hz} Hz; decode the sound at the card's "
                    f"sample_rate_hz: sample_rate_hz={audio.sample_rate_hz}"
                )
        return [model.transcribe(audio) for audio in batch]

    def get_num_bytes(self, batch: Sequence[Audio]) -> int:
        """The samples' own bytes; the default would pickle them on every batch."""
        return sum(audio.samples.nbytes for audio in batch)

    def get_metrics_namespace(self) -> str:
        """Where Beam files this handler's metrics."""
        return "reelvec_speech"
