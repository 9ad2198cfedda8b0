"""The nouns of the data flow: frozen, slotted, and checked when they are made.

Times are seconds of the container's own clock (PTS); spans are half-open,
[start_seconds, end_seconds). Records that hold arrays compare by identity.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
#: A decoder that crashed or timed out on a video is given this many tries over several runs.
MAX_ATTEMPTS = 3

Scalar = str | int | float | bool | None

#: The namespace of every id that Reelvec makes; ids are uuid5 over it and what the thing is.
NAMESPACE = uuid.UUID("0b8f3f0e-6a55-5c0e-9d7e-5e1f6d3c2a10")


def stable_id(*parts: object) -> str:
    """A uuid5 of the parts: the same parts give the same id on every machine, in every run."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(str(part) for part in parts)))


def clip_id(uri: str, content: str, segmenter: str, start_seconds: float) -> str:
    """The id of the clip that starts there in these bytes, cut by this segmenter with its settings."""
    return stable_id("clip", uri, content, segmenter, round(start_seconds * 1000))


def whole_id(uri: str, content: str, segmenter: str) -> str:
    """The id of the point of the whole video of these bytes, whose clips this segmenter cut."""
    return stable_id("whole", uri, content, segmenter)


@dataclass(frozen=True, slots=True)
class VideoRef:
    """One file of a corpus as a listing sees it; nothing has looked inside yet."""

    uri: str
    size_bytes: int
    version: str  # what changes when the file may have: mtime in ns for files, etag elsewhere
    expected: bool = True  # named by the user or by a media suffix: without media inside it is a reject, else skipped
    origin: str = ""  # the URI of the folder, glob or manifest that listed it; "" when named one by one
    metadata: tuple[tuple[str, Scalar], ...] = ()
    event: str = ""  # the place of the event that named it among the events of its URI (`transforms.order`)

    def __post_init__(self) -> None:
        if "://" not in self.uri:
            raise ValueError(f"a video is named by its whole URI: uri={self.uri!r}")
        if self.size_bytes < 0:
            raise ValueError(f"a size is not negative: size_bytes={self.size_bytes}")


@dataclass(frozen=True, slots=True)
class Work:
    """A video to decode; `content` is its SHA-256 where planning needed it, else ""."""

    video: VideoRef
    content: str = ""
    attempts: int = 1
    done: tuple[tuple[str, int], ...] = ()  # (content, index) of segments that an earlier run left a receipt for
    run: int = 0  # the number of the run that writes it (`transforms.index.lock`)


#: A plan knows the bytes of a remote file only by what its store says of them; such a name begins so, no hash does.
SAME_BYTES = "same:"


@dataclass(frozen=True, slots=True)
class CopyOf:
    """A video whose bytes are those of another: its vectors are copied, nothing is decoded."""

    video: VideoRef
    content: str  # SHA-256, or SAME_BYTES and what the store says of both
    source_uri: str
    moved: bool = False  # the source is gone from the corpus


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The picture stream that is shown to a viewer."""

    index: int  # of the stream in its container
    codec: str
    width: int  # as shown: rotation and sample aspect applied
    height: int
    fps: float  # mean rate; 0.0 where unknown
    rotation_degrees: int
    start_seconds: float
    end_seconds: float
    still: bool = False  # a single picture (a photograph, a cover)


@dataclass(frozen=True, slots=True)
class AudioStream:
    """The sound stream that is played to a listener."""

    index: int
    codec: str
    sample_rate_hz: int
    channels: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What looking inside a file found; [start_seconds, end_seconds) holds all that can be decoded."""

    container: str
    start_seconds: float
    end_seconds: float
    video: VideoStream | None
    audio: AudioStream | None
    damaged: bool = False  # the file ends before its header says it does

    def __post_init__(self) -> None:
        if self.video is None and self.audio is None:
            raise ValueError(f"a video has a picture or a sound stream: {self}")
        if not self.start_seconds < self.end_seconds:
            raise ValueError(f"a video ends after it starts: {self}")

    @property
    def duration_seconds(self) -> float:
        return self.end_seconds - self.start_seconds


@dataclass(frozen=True, slots=True)
class Clip:
    """A half-open stretch of one video that is found as one hit.

    `index` rises over the whole video; there are gaps between segments where clips are cut by what is in them.
    """

    index: int
    start_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        if not self.start_seconds < self.end_seconds:
            raise ValueError(f"a clip ends after it starts: {self}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one video that holds several clips; the unit of work, under 1 KB."""

    video: VideoRef
    content: str  # SHA-256 of the file's bytes, hex
    info: VideoInfo
    index: int
    count: int  # how many segments the video has
    clips: tuple[Clip, ...]
    attempts: int = 1  # which try this is, counted over runs
    run: int = 0

    def __post_init__(self) -> None:
        if not self.clips:
            raise ValueError(f"a segment holds at least one clip: {self}")
        if not 0 <= self.index < self.count:
            raise ValueError(f"a segment's index lies below the count: index={self.index}, count={self.count}")

    @property
    def start_seconds(self) -> float:
        return self.clips[0].start_seconds

    @property
    def end_seconds(self) -> float:
        return self.clips[-1].end_seconds


Interpolation = Literal["bicubic", "bilinear", "lanczos", "nearest"]


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """The pictures that an encoder wants: upright rgb24, `width` x `height` square pixels.

    `fit` is how a picture of another shape gets there: "stretch" ignores its shape, "crop" scales the
    short side and cuts the middle out, "pad" scales the long side and fills the rest with black. "whole" keeps
    the shape: the picture is made smaller where its sides are longer than `width` and `height`, never larger.
    `crop_fraction` is the share of the scaled short side that "crop" keeps: 0.875 scales to 256 and cuts 224 out.
    `interpolation` is how the model's own library scales, always with antialiasing. Where an odd number of pixels is
    cut off, libraries differ by one: the cut is rounded to the nearest even place, or down with `cut_rounds_down`.
    """

    width: int
    height: int
    fit: Literal["stretch", "crop", "pad", "whole"] = "stretch"
    crop_fraction: float = 1.0
    interpolation: Interpolation = "bicubic"
    cut_rounds_down: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or not 0.0 < self.crop_fraction <= 1.0:
            raise ValueError(f"a picture has a pixel at least, and a crop keeps some of it: {self}")

    @property
    def details(self) -> tuple[float | str, ...]:
        """What a fingerprint adds for a crop that does not keep the whole short side, and for another scaling."""
        crop = () if self.crop_fraction == 1.0 else (self.crop_fraction,)
        return (*crop, *(() if self.interpolation == "bicubic" else (self.interpolation,)))


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Mono sound: samples (n,) float32 in [-1, 1], the first one at `start_seconds`."""

    samples: Float32
    sample_rate_hz: int
    start_seconds: float

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise ValueError(f"samples are (n,) float32: shape={self.samples.shape}, dtype={self.samples.dtype}")


@dataclass(frozen=True, slots=True)
class FrameWant:
    """Frames that somebody wants of each clip: in which size, and which ones (the words of `FrameChoice`)."""

    spec: FrameSpec
    choice: str


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """The frames of one segment that one want asked for."""

    pts_seconds: NDArray[np.float64]  # (n,) rising
    pixels: NDArray[np.uint8]  # (n, height, width, 3)
    clip_frames: tuple[tuple[int, ...], ...]  # for each clip of the segment, indices into pts_seconds

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.shape[::3] != (len(self.pts_seconds), 3):
            raise ValueError(f"pixels are (n, height, width, 3) with n times: {self.pixels.shape}")
        if self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels are uint8: dtype={self.pixels.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """What decoding one segment gave; lives in memory only and never crosses a stage."""

    pictures: Mapping[FrameWant, Pictures]  # one for each want where there is a picture stream, else empty
    sounds: Mapping[int, Audio]  # by sample rate, the same stretch in each; empty where there is no sound
    damaged: bool = False  # decoding ended before the segment did


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word; times are of the container's clock."""

    text: str
    start_seconds: float
    end_seconds: float
    probability: float = 1.0

    @property
    def midpoint_seconds(self) -> float:
        return (self.start_seconds + self.end_seconds) / 2


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words heard in a segment, in order; `language` is None where the model cannot tell."""

    words: tuple[Word, ...] = ()
    language: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """indices (n,) uint32, each once; values (n,) float32."""

    indices: NDArray[np.uint32]
    values: Float32

    def __post_init__(self) -> None:
        if self.indices.shape != self.values.shape or self.indices.ndim != 1:
            raise ValueError(f"as many indices as values: {self.indices.shape} and {self.values.shape}")


#: dense (dim,) or multivector (n, dim), both float32; or sparse
Vector = Float32 | SparseVector


@dataclass(frozen=True, slots=True, eq=False)
class EncodedClip:
    """What the models make of one clip beside its frames; a modality that it lacks is absent."""

    vectors: Mapping[str, Vector] = field(default_factory=dict)
    transcript: str = ""
    screen: str = ""  # the text on screen
    objects: tuple[Mapping[str, Any], ...] = ()  # as the payload keeps them, in the order of the vectors `objects`


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """What the models make of one segment, clip by clip."""

    frames: Float32 | None  # (n, dim), one unit vector a frame; None where there is no picture
    clips: tuple[EncodedClip, ...]
    language: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ClipPoint:
    """One clip as the store keeps it: id, named vectors (a missing modality is absent), payload."""

    id: str
    vectors: Mapping[str, Vector]
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """Why one input, or a stretch of it, could not be indexed. Holds no media bytes."""

    uri: str
    stage: Literal["event", "probe", "decode", "encode", "store"]  # store: what was stored of it was damaged
    error: str  # class name
    message: str
    transient: bool  # whether a later run tries again
    start_seconds: float | None = None  # None: the whole video
    end_seconds: float | None = None
    attempts: int = 1
    content: str = ""
    size_bytes: int = 0
    version: str = ""
    decoder: str = ""  # ffmpeg's version where it decided; "" elsewhere

    @property
    def id(self) -> str:
        return stable_id("reject", self.uri, self.version, self.stage, self.error, self.start_seconds)


@dataclass(frozen=True, slots=True)
class RejectedVideo:
    """A video that could not even be cut into segments."""

    video: VideoRef
    reject: Reject
    run: int = 0


Outcome = Literal["ok", "empty", "rejected"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one segment; written after its clips are stored, checked and flushed.

    It holds all that committing its video needs, so that any later run can do it.
    """

    video: VideoRef
    content: str
    recipe: str  # fingerprint
    index: int
    count: int
    clips: int
    outcome: Outcome
    duration_seconds: float = 0.0  # of the whole video
    attempts: int = 1
    damaged: bool = False
    reject: Reject | None = None
    run: int = 0

    @property
    def uri(self) -> str:
        return self.video.uri

    @property
    def id(self) -> str:
        return stable_id("receipt", self.uri, self.content, self.recipe, self.index)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentResult:
    """All that leaves the fused decode-encode-fuse stage for one segment."""

    segment: Segment
    outcome: Outcome
    points: Sequence[ClipPoint] = ()
    damaged: bool = False
    reject: Reject | None = None


#: committed: all of it is searchable; partial: what could be read is; rejected: nothing could be;
#: quarantined: the decoder crashed on it too often; skipped: no media inside and none was promised;
#: forgotten: taken out by the user and kept out; dropped: its rejects are, and it stays out until its bytes change;
#: deleted: a stream's event took it out, and older events, which may still come, do not bring it back.
VideoState = Literal["committed", "partial", "rejected", "quarantined", "skipped", "forgotten", "dropped", "deleted"]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the index knows of one video: the bytes it saw last, and the clips that are live."""

    uri: str
    size_bytes: int
    version: str
    state: VideoState
    content: str = ""  # SHA-256 of the bytes seen last
    recipe: str = ""  # fingerprint of the whole recipe
    vectors: tuple[tuple[str, str], ...] = ()  # (vector name, its fingerprint) of the live clips
    live_content: str = ""  # SHA-256 of the bytes whose clips are live; "" when none are
    live_whole: bool = True  # nothing of the live version is missing
    clips: int = 0  # live ones
    duration_seconds: float = 0.0
    attempts: int = 1
    rejects: tuple[Reject, ...] = ()
    searchable_since: str = ""  # ISO 8601, UTC
    origin: str = ""
    metadata: tuple[tuple[str, Scalar], ...] = ()
    run: int = 0  # the newest that wrote any of it; 0: from before runs had numbers
    event: str = ""  # the place of the newest event that was heeded (`transforms.order`); "" where there was none
    deleted_at: str = ""  # ISO 8601, UTC: when an event's deletion was heeded
    payloads: int = 1  # the revision that the payloads of all live clips have (`transforms.index.payloads`)

    @property
    def id(self) -> str:
        return stable_id("video", self.uri)


#: How the store keeps a smaller copy of vectors for its first pass; what it finds is scored again with the full ones.
Quantization = Literal["none", "int8", "binary", "product"]


@dataclass(frozen=True, slots=True)
class DenseVector:
    """A dense named vector of the schema."""

    name: str
    dimensions: int
    multi: bool = False  # (n, dimensions) a point; compared by MaxSim; re-ranking only, so no graph
    quantization: Quantization = "none"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a collection must look like, and the recipe whose vectors it holds."""

    recipe_name: str
    recipe: str  # fingerprint
    dense: tuple[DenseVector, ...]
    sparse: tuple[str, ...] = ()  # with IDF kept by the store
    vector_fingerprints: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  # the recipe, readable, as JSON holds it
    payloads: int = 1  # the newest revision that payloads may have (`transforms.index.payloads`)

    @property
    def vector_names(self) -> tuple[str, ...]:
        return (*(vector.name for vector in self.dense), *self.sparse)
