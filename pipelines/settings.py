"""What an ingest can be told, from the command line, the environment (REELVEC_*) or Python."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from transforms.remote.settings import RemoteSettings


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
    remote_cache: Path | None = None  # where remote files are fetched to; None: in the cache folder of the worker
    remote_cache_megabytes: int = Field(default=16_384, ge=1)  # of fetched files on one machine, all together
    remote_largest_megabytes: int = Field(default=8_192, ge=1)  # of one remote file; larger ones are rejected
    remote_together_megabytes: int = Field(default=64, ge=0)  # segments of a remote file up to this stay on one worker
    allow_private_addresses: bool = False  # of web servers of one's own network, this machine included
    command: Literal["ingest", "reindex", "dlq replay", "watch", "stream"] = "ingest"

    @property
    def remote(self) -> RemoteSettings:
        """What the workers are told of remote media."""
        return RemoteSettings(
            cache="" if self.remote_cache is None else str(self.remote_cache.expanduser().absolute()),
            cache_bytes=self.remote_cache_megabytes * 2**20,
            largest_bytes=self.remote_largest_megabytes * 2**20,
            together_bytes=self.remote_together_megabytes * 2**20,
            min_free_bytes=self.min_free_megabytes * 2**20,
            allow_private_addresses=self.allow_private_addresses,
        )
