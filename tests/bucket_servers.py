"""Servers that stand in for the clouds: moto for S3, gcp-storage-emulator for Google's store."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import pytest
import urllib3


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """boto3's client of a server that Beam's filesystem finds through the environment."""
    server_module = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: reelvec[aws]")
    from transforms.remote.clients import forget_clients

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    urllib3.request("POST", f"http://{host}:{port}/moto-api/reset")  # servers of one process share what they hold
    forget_clients()
    try:
        yield boto3.client("s3")
    finally:
        forget_clients()
        server.stop()


@contextmanager
def gcs_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """google-cloud-storage's client of a server that the environment names."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed")
    storage = pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed: reelvec[gcp]")
    pytest.importorskip("google_auth_httplib2", reason="google-auth-httplib2 is not installed: reelvec[gcp]")
    from transforms.remote.clients import forget_clients

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(emulator, "HANDLERS", (*_as_google_does(), *emulator.HANDLERS))
    set_header = emulator.Response.__setitem__

    def without_md5(response: Any, name: str, value: str) -> None:
        set_header(response, name, value.removesuffix(",md5=None"))

    monkeypatch.setattr(emulator.Response, "__setitem__", without_md5)
    server = emulator.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    forget_clients()
    try:
        yield storage.Client.create_anonymous_client()
    finally:
        forget_clients()
        server.stop()


def _as_google_does() -> tuple[tuple[str, dict[str, object]], ...]:
    """Routes for what the emulator does otherwise: a composed object has no MD5, and a generation can be asked for."""
    from gcp_storage_emulator.handlers import objects

    def compose(request: Any, response: Any, storage: Any, *given: object) -> None:
        objects.compose(request, response, storage)
        storage.objects[request.params["bucket_name"]][request.params["object_id"]]["md5Hash"] = None

    def download(request: Any, response: Any, storage: Any, *given: object) -> None:
        held = storage.get_file_obj(request.params["bucket_name"], request.params["object_id"])
        if request.query.get("ifGenerationMatch", [held["generation"]]) != [held["generation"]]:
            response.status = HTTPStatus.PRECONDITION_FAILED
        else:
            objects.download(request, response, storage)

    one = r"/b/(?P<bucket_name>[-.\w]+)/o/(?P<object_id>.*[^/]+)"
    return (f"^(/storage/v1)?{one}/compose$", {"POST": compose}), (f"^/download/storage/v1{one}$", {"GET": download})
