"""Sound -> words with times, by Whisper (Radford et al., 2022) of transformers, behind the voice gate.

The spans in which somebody may speak go through in windows of 30 s; the next window begins where the model closed
its last utterance. A word's time is that of its tokens, by the attention heads that follow the sound; a model whose
generation_config.json names no `alignment_heads` times utterances only, and its words share that time by their length.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transforms.encoders.cards import HONESTY, SILERO_GATE, Card
from transforms.encoders.encoder import usable_samples
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.heard import GATE_RATE_HZ, Utterance, believable, compression_ratio, voice_of
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Where
from transforms.encoders.precision import moved, placed
from transforms.encoders.text_models import pretrained
from transforms.encoders.weights import verify
from transforms.errors import UsageError
from transforms.records import Audio, Float32, Transcript, Word

_UNSPACED = frozenset(("zh", "ja", "th", "lo", "my", "yue"))  # languages that write no spaces between words
_LEAST_STEP_SECONDS = 1.0  # from one window to the next
_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")  # the token's name of now and that of older models


@dataclass(frozen=True, slots=True)
class Window:
    """What the model gave for one window."""

    segments: Sequence[Any]  # of transformers: start, end, tokens and, where there are alignment heads, their times
    probabilities: Sequence[float]  # of the segments' tokens, one after another
    log_probability: float
    no_speech_probability: float
    used_seconds: float  # where the next window begins


@dataclass(eq=False)
class WhisperNetwork(Network):
    """The model, its feature extractor and its tokenizer."""

    model: Any
    extractor: Any
    tokenizer: Any
    card: Card
    where: Where = Where()

    def transcribe(self, audio: Audio) -> Transcript:
        """The words of one stretch of sound, in order; none for silence, tones, noise and music."""
        import torch

        samples = usable_samples(audio.samples)
        voice = voice_of(samples, self.card)
        if voice is None:
            return Transcript()
        joined, place, language = voice.joined(samples), 0, str(dict(self.card.settings).get("language", ""))
        words: list[Word] = []
        while place < len(joined):
            with torch.inference_mode():
                window, language = self._window(joined[place : place + self.extractor.n_samples], language)

            def clock(seconds: float, *, ends: bool, begun: float = place / GATE_RATE_HZ) -> float:
                return voice.seconds_at(min(begun + seconds, len(joined) / GATE_RATE_HZ), ends=ends)

            for said in self._utterances(window, language, clock):
                heard = replace(said, voice_probability=voice.highest(*_bounds(said)))
                if believable(heard, self.card):
                    words += heard.words
            place += round(max(window.used_seconds, _LEAST_STEP_SECONDS) * GATE_RATE_HZ)
        shifted = [
            replace(
                word,
                start_seconds=audio.start_seconds + word.start_seconds,
                end_seconds=audio.start_seconds + word.end_seconds,
            )
            for word in words
        ]
        return Transcript(tuple(shifted), language or None if words else None)

    def _window(self, samples: Float32, language: str) -> tuple[Window, str]:
        import torch

        given = self.model.generation_config
        features = self.extractor(samples, sampling_rate=GATE_RATE_HZ, return_attention_mask=True, return_tensors="pt")
        sound = moved(features, self.where)
        encoded = self.model.get_encoder()(sound["input_features"])
        prompt = [given.decoder_start_token_id]
        scores = self._scores(encoded, prompt)[-1]  # of the token after the first one: (tokens,)
        if multilingual := bool(getattr(given, "is_multilingual", False)):
            language = language or max(given.lang_to_id, key=lambda token: scores[given.lang_to_id[token]]).strip("<|>")
            prompt += [given.lang_to_id[f"<|{language}|>"], given.task_to_id["transcribe"]]
        segments = self.model.generate(
            **sound,
            return_timestamps=True,
            return_segments=True,
            return_token_timestamps=_aligns(given),
            force_unique_generate_call=True,
            do_sample=False,
            num_beams=int(self.card.setting("beam_size")),
            **({"language": language, "task": "transcribe"} if multilingual else {}),
        )["segments"][0]
        tokens = [token for segment in segments for token in segment["tokens"].tolist()]
        probabilities: list[float] = []
        if tokens:
            rows = self._scores(encoded, [*prompt, *tokens[:-1]])[len(prompt) - 1 :]
            probabilities = rows.gather(1, torch.tensor(tokens, device=rows.device)[:, None])[:, 0].exp().tolist()
        spoken = [one for one, token in zip(probabilities, tokens, strict=True) if token < self._first_time]
        return (
            Window(
                segments,
                probabilities,
                float(torch.tensor(spoken).log().mean()) if spoken else 0.0,
                sum(
                    float(scores[token].exp()) for token in self.tokenizer.convert_tokens_to_ids([*_NO_SPEECH]) if token
                ),
                self._used_seconds(segments, len(samples) / GATE_RATE_HZ),
            ),
            language,
        )

    def _scores(self, encoded: Any, tokens: Sequence[int]) -> Any:
        """The log-probabilities of what comes after each token: (tokens, vocabulary)."""
        import torch

        ids = torch.tensor([tokens], device=self.where.device)
        return self.model(encoder_outputs=encoded, decoder_input_ids=ids).logits[0].float().log_softmax(-1)

    @property
    def _first_time(self) -> int:
        """The token of 0.00 s; those of other times come after it, and no others."""
        return int(self.model.generation_config.no_timestamps_token_id) + 1

    def _used_seconds(self, segments: Sequence[Any], length_seconds: float) -> float:
        """Two times at the end say that more is spoken after the last of them; one or none, that this was all."""
        if segments and all(token >= self._first_time for token in segments[-1]["tokens"].tolist()[-2:]):
            return min(float(segments[-1]["end"]), length_seconds)
        return length_seconds

    def _utterances(self, window: Window, language: str, clock: Callable[..., float]) -> Iterator[Utterance]:
        whole = [token for segment in window.segments for token in segment["tokens"].tolist()]
        ratio, place = compression_ratio(self._text(whole)), 0
        for segment in window.segments:
            tokens: list[int] = segment["tokens"].tolist()
            times = segment["token_timestamps"].tolist() if "token_timestamps" in segment else None
            kept = [index for index, token in enumerate(tokens) if token < self._first_time]
            spoken = [tokens[index] for index in kept]
            groups = list(word_groups(spoken, self._text, spaced=language not in _UNSPACED))
            bounds = _times(kept, times, groups, self._text, spoken, float(segment["start"]), float(segment["end"]))
            words = tuple(
                Word(
                    text=self._text([spoken[index] for index in group]).strip(),
                    start_seconds=(begun := clock(start, ends=False)),
                    end_seconds=max(begun, clock(end, ends=True)),
                    probability=sum(window.probabilities[place + kept[index]] for index in group) / len(group),
                )
                for group, (start, end) in zip(groups, bounds, strict=True)
            )
            place += len(tokens)
            if words:
                text = self._text(spoken)
                yield Utterance(text, words, window.log_probability, ratio, window.no_speech_probability, 1.0)

    def _text(self, tokens: Sequence[int]) -> str:
        shown = [token for token in tokens if token < self._first_time]
        text: str = self.tokenizer.decode(shown, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def word_groups(tokens: Sequence[int], text: Callable[[Sequence[int]], str], *, spaced: bool) -> Iterator[list[int]]:
    """The places of the tokens word by word: a space begins one, or where none are written, every whole letter."""
    group: list[int] = []
    piece: list[int] = []
    for place in range(len(tokens)):
        piece.append(place)
        said = text([tokens[one] for one in piece])
        if "\ufffd" in said and place + 1 < len(tokens):
            continue  # a letter whose bytes are not all here
        begins = said.startswith(" ") or (not spaced and not _is_punctuation(said))
        if group and begins:
            yield group
            group = []
        group, piece = group + piece, []
    if group and text([tokens[place] for place in group]).strip():
        yield group


def _is_punctuation(text: str) -> bool:
    return all(unicodedata.category(letter)[0] in "PZ" for letter in text)


def _times(
    kept: Sequence[int],
    times: Sequence[float] | None,
    groups: Sequence[Sequence[int]],
    text: Callable[[Sequence[int]], str],
    spoken: Sequence[int],
    start_seconds: float,
    end_seconds: float,
) -> list[tuple[float, float]]:
    """When each group begins and ends, in seconds of the window."""
    if times:
        after = [kept[group[-1]] + 1 for group in groups]
        starts = [min(max(times[kept[group[0]]], start_seconds), end_seconds) for group in groups]
        ends = [min(times[place], end_seconds) if place < len(times) else end_seconds for place in after]
        return [(start, max(start, end)) for start, end in zip(starts, ends, strict=True)]
    lengths = [len(text([spoken[place] for place in group])) for group in groups]
    total, done, bounds = max(1, sum(lengths)), 0, []
    for length in lengths:
        share = (end_seconds - start_seconds) / total
        bounds.append((start_seconds + share * done, start_seconds + share * (done + length)))
        done += length
    return bounds


def _bounds(said: Utterance) -> tuple[float, float]:
    return said.words[0].start_seconds, said.words[-1].end_seconds


def _aligns(given: Any) -> bool:
    return bool(getattr(given, "alignment_heads", None))


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder."""
    name.check_options("language", "beam_size")
    if (kind := read_config(folder).get("model_type")) != "whisper":
        raise UsageError(f"whisper takes models of the kind whisper, this is one of {kind!r}: {folder}")
    given = read_config(folder, "generation_config.json")
    if "no_timestamps_token_id" not in given:
        raise UsageError(
            f"generation_config.json names no no_timestamps_token_id, so this Whisper tells no times: {folder}"
        )
    languages = [token.strip("<|>") for token in given.get("lang_to_id", {})]
    multilingual, language = bool(given.get("is_multilingual")), name.option("language")
    if language and language not in (languages if multilingual else ["en"]):
        raise UsageError(f"this model knows {', '.join(languages) if multilingual else 'English only'}: {language=}")
    described = hub_card(
        name,
        folder,
        modality="speech",
        accepts=(),
        dimensions=0,
        text_queries=False,
        sample_rate_hz=GATE_RATE_HZ,
        languages=(language or ("any" if multilingual else "en"),),
        settings=(
            ("beam_size", name.number("beam_size", 5)),
            *((("language", language),) if language and multilingual else ()),
            *HONESTY,
        ),
    )
    return replace(described, space="", weights=(*described.weights, SILERO_GATE))


def load(card: Card, where: Where) -> WhisperNetwork:
    """The model of a card; raises MissingWeights."""
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

    for weights in card.weights:
        verify(weights)
    folder = Path(card.weights_of("config.json").folder)
    unsafe = Name.parse(card.name).flag("unsafe")
    # Only the plain attention tells where the alignment heads look.
    model = pretrained(WhisperForConditionalGeneration, folder, unsafe=unsafe, attn_implementation="eager")
    extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return WhisperNetwork(placed(model, where), extractor, tokenizer, card, where)
