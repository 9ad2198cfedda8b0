"""What `ingest` and `reindex` take alike: which videos, how a run goes, and how it is seen from outside."""

from dataclasses import dataclass
from typing import Any

import typer

from pipelines.cli_engines import Detach, Runner, engine_settings
from pipelines.cli_options import (
    DEFAULT_INDEX,
    AllowPrivate,
    Archive,
    Device,
    FailOnReject,
    Index,
    Json,
    Manifest,
    MaxDelete,
    Prefetch,
    PublishEvery,
    RemoteCache,
    Sources,
    Wait,
)
from pipelines.outside import LogFormat, MetricsFile, MetricsPort, Outside, Report
from transforms.errors import UsageError


@dataclass(frozen=True, slots=True)
class Corpus:
    """The videos of a run, and the index that they go to."""

    sources: Sources = None
    index: Index = DEFAULT_INDEX
    manifest: Manifest = None

    def given(self) -> dict[str, Any]:
        """The settings that these options make; raises UsageError where no videos are named."""
        if not self.sources and self.manifest is None:
            raise UsageError("name the videos: files, folders or globs, or a --manifest")
        return {"sources": tuple(self.sources or ()), "index": self.index, "manifest": self.manifest}


@dataclass(frozen=True, slots=True)
class OneRun:
    """How one run goes, whatever it runs over."""

    device: Device = None
    prefetch: Prefetch = None
    max_delete: MaxDelete = None
    publish_every: PublishEvery = None
    archive: Archive = None
    runner: Runner = None
    detach: Detach = False
    remote_cache: RemoteCache = None
    allow_private_addresses: AllowPrivate = False
    wait: Wait = False
    fail_on_reject: FailOnReject = False
    metrics_port: MetricsPort = None
    metrics_file: MetricsFile = None
    log_format: LogFormat = "text"
    report: Report = None
    as_json: Json = False

    def given(self, ctx: typer.Context) -> dict[str, Any]:
        """The settings that these options make; raises UsageError for options that no engine knows."""
        return {
            "device": self.device,
            "prefetch": self.prefetch,
            "max_delete": self.max_delete,
            "publish_every_seconds": self.publish_every,
            "archive": self.archive,
            "remote_cache": self.remote_cache,
            "allow_private_addresses": self.allow_private_addresses or None,
            "wait": self.wait or None,
            **engine_settings(ctx, self.runner, detach=self.detach),
        }

    @property
    def outside(self) -> Outside:
        """How it is seen from outside."""
        return Outside(self.metrics_port, self.metrics_file, self.log_format, self.report)
