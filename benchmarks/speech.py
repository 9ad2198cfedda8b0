"""How well speech is heard: word error rate, words invented where nobody speaks, and in languages that are not known.

Word errors on the speech files of `$REELVEC_TEST_MEDIA` whose words are known, and on what is said in the example
videos. Words invented on its files without speech, of which 20 s are heard. And what a model makes of sentences in
other languages, said by espeak-ng at three speeds: a model of English knows no other, so every word of it is
invented. Beside what is believed stands what the model said before the signs of invention were looked for.

One of the limits (`sure_voice_probability`) was chosen with one of those files without speech at hand, so that its
figure is no estimate for other sound; nor is synthetic speech one for people.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from report import figure, finish

from transforms.encoders.encoder import Encoder
from transforms.encoders.registry import loaded
from transforms.records import Audio, Float32

ROOT = Path(__file__).parents[1]
RATE_HZ = 16_000
HEARD_SECONDS = 20
SPEEDS = (130, 160, 200)  # words a minute, by espeak-ng
_NO_LIMITS = {"min_log_probability": -99.0, "doubted_min_log_probability": -99.0, "max_compression_ratio": 1e9}
_NASA = (
    "This is the optical and science segment of the Webb space telescope in one of the largest cleanrooms in the "
    "world at NASA's Goddard Space Flight Center in Greenbelt, Maryland."
)
#: What is said: by the media's index, by the subtitles inside of a file, by the transcription of pocketsphinx's tests
#: (whose "a more a amiable woman" is a slip). Three files are copies of one narration.
REFERENCES = {
    "whisperkit/jfk.wav": "And so my fellow Americans, ask not what your country can do for you, ask what you can do "
    "for your country.",
    "salmonn/1272-128104-0000.flac": "Mister Quilter is the apostle of the middle classes and we are glad to welcome "
    "his gospel",
    "torchcodec/nasa_13013.mp4": _NASA,
    "torchcodec/nasa_13013.mp4.audio.mp3": _NASA,
    "torchcodec/nasa_13013.mp4.audio_44100.mp3": _NASA,
    "pocketsphinx/sense_and_sensibility_01_austen_64kb-0890.wav": "unless to be rather cold hearted and rather selfish "
    "is to be ill disposed",
    "pocketsphinx/sense_and_sensibility_01_austen_64kb-0920.wav": "had he married a more amiable woman he might have "
    "been made still more respectable than he was",
    "pocketsphinx/sense_and_sensibility_01_austen_64kb-0930.wav": "he might even have been made amiable himself",
}
FOREIGN = {
    "de": "Der Zug nach Hamburg fährt heute nicht, weil auf der Strecke ein Baum liegt.",
    "fr": "Le boulanger ouvre sa boutique avant le lever du soleil, même en hiver.",
    "es": "Mi abuela guarda las cartas de su hermano en una caja de madera.",
    "it": "Domani mattina andiamo al mercato a comprare il pesce e le arance.",
    "pl": "W starym domu nad rzeką mieszka teraz młody malarz z dwoma psami.",
    "ru": "Вечером мы сидели у реки и слушали, как поют птицы.",  # noqa: RUF001
    "tr": "Çocuklar okuldan sonra parkta top oynamayı çok seviyorlar.",  # noqa: RUF001
    "cmn": "今天下午我们一起去图书馆看书。",
    "hi": "कल सुबह हम सब बाज़ार से ताज़े फल लाने जाएँगे।",
    "ar": "ذهب الولد إلى المدرسة مع صديقه في الصباح.",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """One file: what was said, "" where nothing was, and what was heard."""

    file: str
    said: str
    heard: str
    seconds: float


def decoded(path: Path, *, seconds: float = 0.0) -> Float32:
    """16 kHz mono by ffmpeg, from the first `seconds` where they are given. Raises CalledProcessError."""
    limit = ["-t", str(seconds)] if seconds else []
    command = ["ffmpeg", "-nostdin", "-v", "error", *limit, "-i", str(path), "-map", "0:a:0", "-ac", "1"]
    done = subprocess.run([*command, "-ar", str(RATE_HZ), "-f", "f32le", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32)


def hear(encoder: Encoder, samples: Float32) -> str:
    """The words."""
    return " ".join(word.text for word in encoder.transcribe(Audio(samples, RATE_HZ, 0.0)).words)


def spoken(media: Path | None) -> Iterator[tuple[str, str, Path]]:
    """(name, what is said, file)."""
    if media:
        yield from ((file, said, media / file) for file, said in REFERENCES.items() if (media / file).is_file())
    sys.path.insert(0, str(ROOT / "examples"))
    from render import VIDEOS

    for file, scenes in VIDEOS.items():
        yield (
            f"examples/{file}",
            " ".join(scene.says for scene in scenes if scene.says),
            ROOT / "examples/videos" / file,
        )


def unspoken(media: Path) -> Iterator[Path]:
    """The media's files of music, noise and silence."""
    with (media / "INDEX.tsv").open() as index:
        for row in csv.DictReader(index, delimiter="\t"):
            if row["audio"].strip() and row["speech_ratio"] and float(row["speech_ratio"]) < 0.3:
                yield media / row["file"]


def plain(text: str) -> str:
    """Whisper's own normaliser of English, so that figures, abbreviations and hyphens are no errors."""
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalised: str = EnglishTextNormalizer({})(text)
    return normalised


def word_errors(encoder: Encoder, media: Path | None) -> list[Heard]:
    """What is heard of each file whose words are known."""
    rows = []
    for name, said, path in spoken(media):
        samples = decoded(path)
        rows.append(Heard(name, plain(said), plain(hear(encoder, samples)), len(samples) / RATE_HZ))
    return rows


def invented(encoder: Encoder, media: Path) -> list[Heard]:
    """What is heard of each file without speech; those that do not decode are left out."""
    rows = []
    for path in unspoken(media):
        try:
            samples = decoded(path, seconds=HEARD_SECONDS)
        except subprocess.CalledProcessError:
            continue
        rows.append(Heard(str(path.relative_to(media)), "", hear(encoder, samples), len(samples) / RATE_HZ))
    return rows


def foreign(encoder: Encoder) -> list[Heard]:
    """What is heard of sentences in other languages, at each speed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for voice, text in FOREIGN.items():
            for speed in SPEEDS:
                path = Path(folder) / f"{voice}-{speed}.wav"
                command = ["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(path), text]
                subprocess.run(command, check=True, capture_output=True)
                samples = decoded(path)
                rows.append(Heard(f"{voice} {speed}", text, hear(encoder, samples), len(samples) / RATE_HZ))
    return rows


def believing_all(encoder: Encoder) -> Encoder:
    """The same model without limits; loops and phantoms over non-speech are dropped by it too."""
    network = copy(encoder.network)
    settings = tuple({**dict(encoder.card.settings), **_NO_LIMITS}.items())
    network.card = replace(encoder.card, settings=settings)  # type: ignore[attr-defined]
    return Encoder(encoder.card, network, encoder.where)


def main() -> None:
    """Hear everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="faster-whisper:tiny.en", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    chosen = parser.parse_args()
    import jiwer

    encoder = loaded(chosen.encoder).model
    media = Path(given) if (given := os.environ.get("REELVEC_TEST_MEDIA")) else None
    rows = word_errors(encoder, media)
    for row in [] if chosen.json else rows:
        print(f"  {100 * jiwer.wer(row.said, row.heard):5.1f} % of {len(row.said.split()):3d} words  {row.file}")
    for label, part in (
        ("real speech", [row for row in rows if not row.file.startswith("examples/")]),
        ("examples, espeak-ng over pictures", [row for row in rows if row.file.startswith("examples/")]),
    ):
        if part:
            rate = jiwer.wer([row.said for row in part], [row.heard for row in part])
            figure(f"word error rate, {label}, {len(part)} files", 100 * rate, "%")
    if media:
        silent = invented(encoder, media)
        for row in [] if chosen.json else silent:
            if row.heard:
                print(f"  {row.file}: {row.heard}")
        words = sum(len(row.heard.split()) for row in silent)
        minutes = sum(row.seconds for row in silent) / 60
        figure(f"words invented in {len(silent)} files without speech, {minutes:.1f} min", words, "words", at_most=0)
    believed, all_said = foreign(encoder), foreign(believing_all(encoder))
    for row, unfiltered in [] if chosen.json else zip(believed, all_said, strict=True):
        print(f"  {row.file:>7}: {row.heard or '-'}   (said: {unfiltered.heard[:60] or '-'})")
    minutes = sum(row.seconds for row in believed) / 60
    for label, part in (("believed", believed), ("said before the limits, loops apart", all_said)):
        figure(f"of {len(part)} sentences in other languages, words {label} in", sum(bool(row.heard) for row in part))
        words = sum(len(row.heard.split()) for row in part)
        figure(f"words in other languages {label}", words / minutes, "words/min")
    finish()


if __name__ == "__main__":
    main()
