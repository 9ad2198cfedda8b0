"""The clients of Beam's own filesystems: one configuration for everything that a pipeline reads.

Beam's listing (`FileSystems.match`) holds every name in memory and gives no ETag and no generation, so the clients
behind it are asked directly, page by page. They are set up by Beam: by the options of the pipeline, on a worker those
that the runner sent, and by the environment (AWS_*, GOOGLE_APPLICATION_CREDENTIALS, STORAGE_EMULATOR_HOST).
"""

import os
import threading
from collections.abc import Sequence
from typing import Any

from transforms.errors import MissingPackage

_clients: dict[str, tuple[int, Any]] = {}  # with the process that made them: a fork shares no connections
_making = threading.Lock()
_options: tuple[str, ...] = ()


def use_options(options: Sequence[str]) -> None:
    """Beam's options (`--s3_endpoint_url=...`) for a process that lists before it has a pipeline that says them."""
    global _options
    if tuple(options) != _options:
        _options = tuple(options)
        forget_clients()


def s3_client() -> Any:
    """boto3's client for S3. Raises MissingPackage."""
    return _kept("s3", _new_s3)


def gcs_client() -> Any:
    """google-cloud-storage's client. Raises MissingPackage."""
    return _kept("gs", _new_gcs)


def forget_clients() -> None:
    """Make new ones at the next call: options or credentials changed."""
    _clients.clear()


def _kept(scheme: str, new: Any) -> Any:
    with _making:
        pid, client = _clients.get(scheme, (0, None))
        if pid != os.getpid():
            client = new()
            _clients[scheme] = (os.getpid(), client)
        return client


def _new_s3() -> Any:
    try:
        import boto3  # noqa: F401  # Beam's filesystem is there without it, and fails when it is used
    except ImportError as error:
        raise MissingPackage('s3:// needs the package boto3: pip install "reelvec[aws]"') from error
    from apache_beam.io.aws.s3io import S3IO

    return S3IO(options=_beam_options("s3://", "_options")).client.client


def _new_gcs() -> Any:
    try:
        import google.cloud.storage
        import google_auth_httplib2  # noqa: F401
    except ImportError as error:
        raise MissingPackage(
            'gs:// needs the packages google-cloud-storage and google-auth-httplib2: pip install "reelvec[gcp]"'
        ) from error
    if os.environ.get("STORAGE_EMULATOR_HOST"):  # a server that stands in for the cloud knows no accounts
        return google.cloud.storage.Client.create_anonymous_client()
    from apache_beam.io.gcp.gcsio import GcsIO

    return GcsIO(pipeline_options=_beam_options("gs://", "_pipeline_options")).client


def _beam_options(scheme: str, name: str) -> Any:
    """The options that this process was told, or those that Beam set its filesystem up with.

    In this order: Beam's filesystem may still have those of an earlier pipeline.
    """
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    told = PipelineOptions(list(_options)) if _options else None
    return told or getattr(FileSystems.get_filesystem(scheme), name, None) or PipelineOptions([])
