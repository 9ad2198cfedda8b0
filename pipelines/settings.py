"""What an ingest can be told, from the command line, the environment (REELVEC_*) or Python."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class IngestSettings(BaseSettings):
    """One run; checked when it is made. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="REELVEC_", frozen=True, extra="forbid")

    sources: tuple[str, ...] = ()
    manifest: Path | None = None
    index: str = "reelvec.index"
    recipe: str | None = None  # None: the recipe of the index, or `offline` for a new one
    frames: str | None = None  # other than the recipe's choice of frames
    cut: Literal["windows", "shots", "speech"] | None = None  # other than the recipe's way of cutting clips
    clip_seconds: float | None = Field(default=None, ge=1.0)
    segment_seconds: float | None = Field(default=None, ge=1.0)
    overlap_seconds: float | None = Field(default=None, ge=0.0)
    shortest_seconds: float | None = Field(default=None, gt=0.0)  # of clips that are cut by shots or speech
    longest_seconds: float | None = Field(default=None, gt=0.0)
    device: str = "auto"
    max_delete: str = "10%"
    publish_every_seconds: float = Field(default=300.0, gt=0.0)
    wait: bool = False
    prefetch: int = Field(default=2, ge=1, le=16)  # segments decoded ahead of the one that is encoded
    min_free_megabytes: int = Field(default=1024, ge=0)
    retry_rejects: tuple[str, ...] = ()  # URIs whose rejects are tried again whatever they say
    beam_options: tuple[str, ...] = ()  # e.g. --runner=PortableRunner --job_endpoint=...; in-process when empty
    detach: bool = False  # leave the job to its engine once it has taken it
    archive: Path | None = None  # a folder of Parquet files that every run brings up to date
    order: Literal["newest", "oldest", "smallest", "listed"] = "listed"  # in which videos are taken up
    max_videos: int | None = Field(default=None, ge=0)  # to embed in one run; the rest is left to the next one
    keep_days: float = Field(default=7.0, ge=0.0, le=36_500.0)  # for which vectors of the recipe before are kept
    max_hours: float | None = Field(default=None, gt=0.0)  # after which no new segment is started
    command: Literal["ingest", "reindex", "dlq replay", "watch", "stream"] = "ingest"
