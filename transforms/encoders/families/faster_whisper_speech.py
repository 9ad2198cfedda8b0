"""Sound -> words with times, by Whisper (Radford et al., 2022) as CTranslate2 runs it, behind a voice gate.

A model's folder is as CTranslate2 writes it and as the hub's `Systran/faster-whisper-*` are: config.json, model.bin,
tokenizer.json, vocabulary.txt or .json. `model.bin` is CTranslate2's own format of names, shapes and numbers, which
it reads without running anything that stands in it; its checksum is pinned.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.encoders.cards import HONESTY, SILERO_GATE, WHISPER_MODEL, Card
from transforms.encoders.encoder import usable_samples
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.heard import Utterance, Voice, believable, gate_options, voice_of
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Where
from transforms.encoders.weights import verify
from transforms.errors import MissingWeights, UsageError
from transforms.records import Audio, Scalar, Transcript, Word

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_MAX_THREADS = 4  # a small model gains nothing from more
_MODEL = "model.bin"
_COMPUTE_TYPES = (
    "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32",
)  # fmt: skip
_BY_PRECISION = {"bf16": "bfloat16", "fp16": "float16"}


@dataclass(eq=False)
class FasterWhisperNetwork(Network):
    """Whisper on its device."""

    whisper: "WhisperModel"
    card: Card
    where: Where = Where()

    def transcribe(self, audio: Audio) -> Transcript:
        """The words of one stretch of sound, in order; none for silence, tones, noise and music."""
        samples = usable_samples(audio.samples)
        voice = voice_of(samples, self.card)
        if voice is None:
            return Transcript()
        multilingual = self.whisper.model.is_multilingual
        utterances, about = self.whisper.transcribe(
            samples,
            language=str(dict(self.card.settings).get("language", "")) or (None if multilingual else "en"),
            beam_size=int(self.card.setting("beam_size")),
            temperature=0.0,  # no sampling: the same sound gives the same words
            condition_on_previous_text=False,  # one wrong window would spoil the next
            word_timestamps=True,
            vad_filter=True,
            vad_parameters=gate_options(self.card),
        )
        said = [one for one in heard(utterances, audio, voice) if believable(one, self.card)]
        words = tuple(word for one in said for word in one.words)
        return Transcript(words, about.language if multilingual and words else None)


def heard(utterances: Iterable[Any], audio: Audio, voice: Voice) -> Iterable[Utterance]:
    """faster-whisper's segments with the gate's judgement."""
    for one in utterances:
        yield Utterance(
            text=one.text,
            words=words_of(one, audio),
            log_probability=one.avg_logprob,
            compression_ratio=one.compression_ratio,
            no_speech_probability=one.no_speech_prob,
            voice_probability=voice.highest(one.start, one.end),
        )


def words_of(utterance: Any, audio: Audio) -> tuple[Word, ...]:
    """The words on the container's clock, inside the stretch that was heard."""
    length_seconds = len(audio.samples) / audio.sample_rate_hz
    words = []
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


def describe(name: Name, folder: Path) -> Card:
    """The card of a folder that CTranslate2 wrote."""
    name.check_options("language", "compute_type", "beam_size")
    config = read_config(folder)
    if "lang_ids" not in config and "alignment_heads" not in config:
        raise UsageError(f"this is no Whisper of CTranslate2, whose config.json names lang_ids: {folder}")
    for file in (_MODEL, "tokenizer.json"):
        if not (folder / file).is_file():
            raise MissingWeights(f"a Whisper of CTranslate2 has a {file}, this folder has none: {folder}")
    multilingual, language = _is_multilingual(folder), name.option("language")
    if language and language != "en" and not multilingual:
        raise UsageError(f"this model knows English only: language={language!r}, name={str(name)!r}")
    described = hub_card(
        name,
        folder,
        modality="speech",
        accepts=(),
        dimensions=0,
        text_queries=False,
        sample_rate_hz=16_000,
        tensors=(_MODEL, "vocabulary.*"),
        languages=(language or ("any" if multilingual else "en"),),
        settings=(
            *_computing(name).items(),
            *((("language", language),) if language else ()),
            *HONESTY,
        ),
    )
    return replace(described, space="", weights=(*described.weights, SILERO_GATE))


def changed(name: Name) -> dict[str, Scalar]:
    """What a name changes of the packaged encoder's settings; its language is English."""
    name.check_options("compute_type", "beam_size")
    return _computing(name)


def _computing(name: Name) -> dict[str, Scalar]:
    by_precision = _BY_PRECISION.get(name.option("precision"), _COMPUTE_TYPES[0])
    return {
        "compute_type": name.choice("compute_type", (by_precision, *_COMPUTE_TYPES)),
        "beam_size": name.number("beam_size", 5),
    }


def _is_multilingual(folder: Path) -> bool:
    """Whether the vocabulary holds the empty token, by which CTranslate2 tells models of several languages."""
    import json

    try:
        if (folder / "vocabulary.txt").is_file():
            return "" in (folder / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return "" in json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingWeights(f"the model's vocabulary.txt or .json cannot be read: {folder}: {error}") from error


def load(card: Card, where: Where) -> FasterWhisperNetwork:
    """Load what the card pins; raises MissingWeights, and UsageError for a number that the device does not compute."""
    import ctranslate2
    from faster_whisper import WhisperModel

    paths = {weights.file: verify(weights) for weights in card.weights}
    assert (
        SILERO_GATE.file in paths
    )  # faster-whisper takes the voice gate from its own folder, which is the one verified
    kind, _, number = where.device.partition(":")
    compute_type = str(dict(card.settings)["compute_type"])
    if compute_type not in (able := sorted(ctranslate2.get_supported_compute_types(kind))):
        raise UsageError(f"{card.name} cannot compute in {compute_type} on {kind}; take one of {', '.join(able)}")
    whisper = WhisperModel(
        str((paths.get(WHISPER_MODEL) or paths[_MODEL]).parent),
        device=kind,
        device_index=int(number or 0),
        compute_type=compute_type,
        cpu_threads=min(_MAX_THREADS, len(os.sched_getaffinity(0))),
        local_files_only=True,
    )
    return FasterWhisperNetwork(whisper, card, where)
