"""Every family of encoders, as data: what it is for, what it needs, where its code is. Imports none of them.

A family's module has two functions, and more where its weights come from a hub under another name, or not alone, or
where a name changes what is packaged:

    describe(name: Name, folder: Path | None) -> Card      # reads small files only, imports no torch
    load(card: Card, where: Where) -> Network
    repository(name: Name) -> str                          # the hub's id; the name's model where it is left out
    parts(name: Name) -> tuple[str, ...]                   # further encoders whose weights it needs; none
    changed(name: Name) -> dict[str, Scalar]               # settings that a name changes of its packaged encoder; none
    of_parts(name: Name, parts: Sequence[str]) -> Name     # the name with these for them, as a lock pins them
"""

import difflib
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

from transforms.encoders.cards import Modality
from transforms.errors import MissingPackage, UsageError

WeightsFrom = Literal["hub", "package", "service", "corpus", "nothing"]

#: What torch computes in. A family that runs no network of torch's has one precision, which goes without saying.
_TORCH = ("fp32", "bf16", "fp16", "int8")
_ONE = ("fp32",)


@dataclass(frozen=True, slots=True)
class Family:
    """One row of `reelvec encoders`, whatever is installed here."""

    name: str
    about: str
    modality: Modality
    module: str  # under transforms.encoders.families; "" for one that no installation can use
    packages: tuple[str, ...] = ()  # as they are imported
    extra: str = "offline"  # of setup.py: what installs the packages
    text_queries: Literal["yes", "no", "by model"] = "no"
    models: tuple[str, ...] = ()  # names known to belong to it, for listing and for suggestions
    weights: WeightsFrom = "hub"
    key: str = ""  # the environment variable that holds a service's key
    real_weights: bool = False  # whether it was ever run on its real weights by the project's tests
    licence: str = ""  # of the models, where a family has one for all; else the card's
    precisions: tuple[str, ...] = _TORCH  # that a name may ask for, the usual one first
    compiles: bool = True  # whether torch can compile it
    may_know_nothing: bool = False  # whether a row of zeros means that an input holds nothing it knows
    unavailable: str = ""  # why no installation can use it; "" for every other family

    def load_module(self) -> ModuleType:
        """The family's code; raises MissingPackage for a family that no installation can use."""
        if self.unavailable:
            raise MissingPackage(f"{self.name} cannot be used: {self.unavailable}")
        return import_module(f"transforms.encoders.families.{self.module}")

    @property
    def missing_packages(self) -> tuple[str, ...]:
        """Its packages that are not installed; none of them is imported for that."""
        return tuple(package for package in self.packages if not _is_installed(package))


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None  # of "google.genai" it imports google, which is no more than a folder
    except ModuleNotFoundError:
        return False


def family(name: str) -> Family:
    """The family of this name; raises UsageError that suggests the nearest ones."""
    if name in _FAMILIES:
        return _FAMILIES[name]
    near = difflib.get_close_matches(name, _FAMILIES, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(_FAMILIES)}"
    raise UsageError(f"unknown family of encoders {name!r}; {hint}")


def families() -> tuple[Family, ...]:
    """Every family, by modality."""
    return tuple(_FAMILIES.values())


_TEXT = (
    Family(
        "sentence-transformers",
        "sentence encoders with their own pooling and prompts",
        "text",
        "sentence",
        ("sentence_transformers",),
        text_queries="yes",
        models=("all-MiniLM-L6-v2", "intfloat/multilingual-e5-base", "BAAI/bge-m3"),
        real_weights=True,
    ),
    Family(
        "transformers-text",
        "any Hugging Face text model, pooled by mean, weighted mean, max, CLS, last token or attention",
        "text",
        "pooled_text",
        ("transformers",),
        text_queries="yes",
        models=("intfloat/e5-small-v2", "answerdotai/ModernBERT-base"),
    ),
    Family(
        "dpr",
        "dense passage retrieval: one tower for questions, one for passages",
        "text",
        "dpr",
        ("transformers",),
        text_queries="yes",
        models=("facebook/dpr-question_encoder-single-nq-base",),
    ),
    Family(
        "colbert",
        "late interaction: a vector a token, compared by MaxSim",
        "text",
        "colbert",
        ("transformers",),
        text_queries="yes",
        models=("colbert-ir/colbertv2.0", "lightonai/GTE-ModernColBERT-v1"),
    ),
    Family(
        "word-vectors",
        "word2vec, GloVe and Doc2Vec files, a text is the mean of its words",
        "text",
        "word_vectors",
        ("gensim",),
        "classical",
        text_queries="yes",
        weights="hub",
        may_know_nothing=True,
        precisions=_ONE,
        compiles=False,
    ),
    Family(
        "tfidf",
        "TF-IDF fitted on the corpus",
        "text",
        "fitted",
        ("sklearn",),
        "classical",
        "yes",
        weights="corpus",
        may_know_nothing=True,
        precisions=_ONE,
        compiles=False,
    ),
    Family(
        "lsa",
        "latent semantic analysis fitted on the corpus",
        "text",
        "fitted",
        ("sklearn",),
        "classical",
        "yes",
        weights="corpus",
        may_know_nothing=True,
        precisions=_ONE,
        compiles=False,
    ),
    Family(
        "bm25",
        "sparse words, weighed by BM25",
        "words",
        "bm25",
        text_queries="yes",
        models=("english", "multilingual"),
        weights="nothing",
        real_weights=True,
        precisions=_ONE,
        compiles=False,
    ),
)

_IMAGE = (
    Family(
        "conse",
        "class names weighed by a timm classifier, in the text encoder's space",
        "image",
        "conse",
        ("timm",),
        text_queries="yes",
        models=("tf_efficientnet_lite2",),
        real_weights=True,
    ),
    Family(
        "open_clip",
        "CLIP models of open_clip",
        "image",
        "open_clip_models",
        ("open_clip",),
        "standard",
        "yes",
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-L-14/datacomp_xl_s13b_b90k"),
        precisions=("fp32", "bf16", "fp16"),
    ),
    Family(
        "transformers",
        "CLIP, SigLIP, SigLIP 2, MetaCLIP 2, ALIGN, FLAVA and BLIP-2 of transformers",
        "image",
        "vision_language",
        ("transformers",),
        text_queries="yes",
        models=("openai/clip-vit-base-patch32", "google/siglip2-base-patch16-224", "facebook/metaclip-2-worldwide-s16"),
    ),
    Family(
        "timm",
        "image networks of timm, pooled by average, max, CLS, patches or attention, from one layer or several",
        "image",
        "timm_images",
        ("timm",),
        models=("resnet50.a1_in1k", "vit_base_patch14_dinov2.lvd142m"),
    ),
    Family(
        "torchvision",
        "classifiers of torchvision: ResNet-50, AlexNet, GoogLeNet, VGG and the rest",
        "image",
        "torchvision_images",
        ("torchvision",),
        models=("resnet50", "alexnet", "googlenet", "vgg16"),
    ),
)

_SOUND = (
    Family(
        "clap",
        "sound and text in one space",
        "sound",
        "clap",
        ("transformers",),
        text_queries="yes",
        models=("laion/clap-htsat-unfused",),
    ),
    Family(
        "transformers-audio",
        "wav2vec 2.0, HuBERT, WavLM, Data2Vec audio, Whisper encoder, Audio Spectrogram Transformer",
        "sound",
        "self_supervised_sound",
        ("transformers",),
        models=(
            "facebook/wav2vec2-base",
            "facebook/hubert-base-ls960",
            "microsoft/wavlm-base",
            "facebook/data2vec-audio-base",
            "openai/whisper-tiny",
            "MIT/ast-finetuned-audioset-10-10-0.4593",
        ),
    ),
    Family(
        "vggish",
        "VGGish, a convolutional network over log-mel patches",
        "sound",
        "vggish",
        ("torchvggish", "soundfile"),
        "sound",
    ),
    Family(
        "passt",
        "PaSST, a patchout spectrogram transformer",
        "sound",
        "",
        ("hear21passt",),
        "sound",
        unavailable="hear21passt 0.0.26 needs torchaudio, and torchaudio 2.11 does not load beside torch 2.15",
    ),
    Family(
        "sound-events",
        "names of sixteen kinds of sound, trained on synthesised ones, in the text encoder's space",
        "sound",
        "sound_events",
        ("transformers", "safetensors"),
        text_queries="yes",
        models=("synthetic-v1",),
        weights="package",
        real_weights=True,
        may_know_nothing=True,  # where no sound event is heard
    ),
    Family(
        "mfcc",
        "statistics of mel-frequency cepstral coefficients: the floor to compare with",
        "sound",
        "mfcc",
        ("transformers", "scipy"),
        models=("statistics",),
        weights="nothing",
        real_weights=True,
        precisions=_ONE,
        compiles=False,
    ),
)

_SPEECH = (
    Family(
        "faster-whisper",
        "Whisper as CTranslate2 runs it, behind a voice gate",
        "speech",
        "faster_whisper_speech",
        ("faster_whisper",),
        models=("tiny.en", "Systran/faster-whisper-small", "Systran/faster-whisper-large-v3"),
        real_weights=True,
        precisions=("int8", "bf16", "fp16"),  # further ones by its option compute_type
        compiles=False,
    ),
    Family(
        "whisper",
        "Whisper of transformers, behind a voice gate",
        "speech",
        "whisper_speech",
        ("transformers", "faster_whisper"),
        models=("openai/whisper-small", "openai/whisper-large-v3-turbo"),
    ),
    Family(
        "rapidocr",
        "text on screen, by PP-OCR in onnxruntime",
        "ocr",
        "rapidocr_screen",
        ("rapidocr_onnxruntime",),
        models=("ppocr-v4",),
        weights="package",
        real_weights=True,
        precisions=_ONE,
        compiles=False,
    ),
)

_VIDEO = (
    Family(
        "transformers-video",
        "X-CLIP, VideoMAE, V-JEPA 2, TimeSformer, ViViT",
        "video",
        "whole_clips",
        ("transformers",),
        text_queries="by model",
        models=(
            "microsoft/xclip-base-patch32",
            "MCG-NJU/videomae-base",
            "facebook/vjepa2-vitl-fpc64-256",
            "facebook/timesformer-base-finetuned-k400",
            "google/vivit-b-16x2-kinetics400",
        ),
    ),
    Family(
        "pe-av",
        "a clip's frames, its sound or both, and text: one pair a space",
        "video",
        "pe_av",
        ("transformers",),
        text_queries="yes",
        models=("facebook/pe-av-large",),
        may_know_nothing=True,  # with the pair `both`, of a clip without sound
    ),
    Family(
        "embedding-gemma",
        "text, pictures, sound and video in one space",
        "video",
        "embedding_gemma",
        ("transformers",),
        text_queries="yes",
        models=("google/embeddinggemma-2",),
    ),
    Family(
        "qwen3-vl",
        "text, pictures and video in one space",
        "video",
        "qwen3_vl",
        ("transformers",),
        text_queries="yes",
        models=("Qwen/Qwen3-VL-Embedding-2B", "Qwen/Qwen3-VL-Embedding-8B"),
    ),
    Family(
        "languagebind",
        "video, pictures, sound and text in one space",
        "video",
        "",
        ("languagebind",),
        "languagebind",
        "yes",
        ("LanguageBind/LanguageBind_Video_FT",),
        unavailable="languagebind 0.1.0 needs transformers < 5, which cannot be installed beside the other families",
    ),
    Family(
        "imagebind",
        "pictures, sound and text in one space",
        "video",
        "",
        ("imagebind.models",),
        "imagebind",
        "yes",
        unavailable="the package imagebind of PyPI is an empty placeholder",
    ),
)

_PARTS = (
    Family(
        "objects",
        "crops of what a detector finds (RT-DETR, OWLv2, DETR), each with its box",
        "objects",
        "object_crops",
        ("transformers",),
        text_queries="by model",
        models=("PekingU/rtdetr_r50vd",),
    ),
    Family(
        "motion",
        "optical flow: histograms of its directions over a grid",
        "motion",
        "motion_flow",
        ("cv2",),
        models=("dis",),
        weights="nothing",
        real_weights=True,
        may_know_nothing=True,
        precisions=_ONE,
        compiles=False,
    ),
)

_SERVICES = (
    Family(
        "openai",
        "OpenAI, and every endpoint that speaks its protocol: NVIDIA NIM, Jina, vLLM, Ollama",
        "text",
        "openai_service",
        ("openai",),
        "services",
        "yes",
        ("text-embedding-3-small", "text-embedding-3-large"),
        "service",
        "OPENAI_API_KEY",
        precisions=_ONE,
        compiles=False,
    ),
    Family(
        "gemini",
        "Gemini: text, pictures, sound and video",
        "video",
        "gemini_service",
        ("google.genai",),
        "services",
        "yes",
        ("gemini-embedding-001", "gemini-embedding-2"),
        "service",
        "GEMINI_API_KEY",
        precisions=_ONE,
        compiles=False,
    ),
    Family(
        "cohere",
        "Cohere: text and pictures",
        "image",
        "cohere_service",
        ("cohere",),
        "services",
        "yes",
        ("embed-v4.0",),
        "service",
        "CO_API_KEY",
        precisions=_ONE,
        compiles=False,
    ),
    Family(
        "twelvelabs",
        "Twelve Labs Marengo: whole clips",
        "video",
        "twelvelabs_service",
        ("twelvelabs",),
        "services",
        "yes",
        ("marengo3.0", "marengo3.5"),
        "service",
        "TWELVE_LABS_API_KEY",
        precisions=_ONE,
        compiles=False,
    ),
)

_FAMILIES = {one.name: one for one in (*_TEXT, *_IMAGE, *_SOUND, *_SPEECH, *_VIDEO, *_PARTS, *_SERVICES)}
