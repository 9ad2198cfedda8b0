"""gs://: Google Cloud Storage."""

import base64
from collections.abc import Iterator
from typing import Any

from transforms.errors import RemoteRefused, UsageError, VideoChanged
from transforms.records import VideoRef
from transforms.remote.clients import gcs_client
from transforms.remote.names import bucket_and_key
from transforms.remote.store import Arriving, Broken, Checksum, Found
from transforms.remote.tries import tried

_CURE = (
    "give credentials: GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the service account "
    "of the machine, with the right to list and read objects; see docs/remote.md"
)
_FIELDS = "items(name,size,generation,md5Hash,bucket),nextPageToken,prefixes"
_LATER = "the next run takes it up"


class GCS:
    """Buckets of Google's store; a version is the MD5 of the bytes, or the generation where there is none."""

    def __init__(self) -> None:
        self._client: Any = gcs_client()

    def look(self, uri: str) -> Found | None:
        """Size and version of one object; None where there is none. Raises RemoteRefused, UsageError, Broken."""
        status, blob = self._got(uri, fine=(403, 404))
        if status == 403:
            raise RemoteRefused(f"the store refuses the object: {uri}; {_CURE}")
        return None if blob is None else _found(uri, blob)

    def pages(self, prefix: str) -> Iterator[list[Found]]:
        """All objects whose address begins so, a page at a time."""
        bucket, key = bucket_and_key(prefix)
        token: str | None = None
        while True:
            page, token = tried(lambda: self._page(prefix, bucket, key, token))  # noqa: B023  # called before it changes
            yield page
            if not token:
                return

    def bring(self, video: VideoRef, offset: int, into: Arriving) -> Checksum | None:
        """Bring the object from this byte on, if it is still the listed one."""
        status, blob = self._got(video.uri, fine=(403, 404))
        if status == 403:
            raise RemoteRefused(f"the store refuses the object: {video.uri}")
        if blob is None or _found(video.uri, blob).version != video.version:
            raise VideoChanged(f"the object changed or vanished before it was fetched: {video.uri}; {_LATER}")
        into.begins_at(offset)

        def download() -> None:
            if offset < video.size_bytes:
                blob.download_to_file(
                    into,
                    start=offset or None,
                    raw_download=True,
                    if_generation_match=blob.generation,
                    checksum=None,  # of a part there is none; the whole is checked when it is here
                    retry=None,
                )

        status, _ = self._called(video.uri, download, fine=(403, 404, 412))
        if status == 403:
            raise RemoteRefused(f"the store refuses the object: {video.uri}")
        if status in (404, 412):
            raise VideoChanged(f"the object changed while it was fetched: {video.uri}; {_LATER}")
        if blob.md5_hash:
            return Checksum("md5", base64.b64decode(blob.md5_hash).hex())
        return Checksum("crc32c", base64.b64decode(blob.crc32c).hex()) if blob.crc32c else None

    def still_there(self, video: VideoRef) -> None:
        """A generation never changes, and every request named it."""

    def _got(self, uri: str, *, fine: tuple[int, ...]) -> tuple[int, Any]:
        bucket, key = bucket_and_key(uri)
        return self._called(uri, lambda: self._client.bucket(bucket).get_blob(key, retry=None), fine=fine)

    def _page(self, prefix: str, bucket: str, key: str, token: str | None) -> tuple[list[Found], str | None]:
        def ask() -> tuple[list[Found], str | None]:
            listed = self._client.list_blobs(bucket, prefix=key, page_token=token, fields=_FIELDS, retry=None)
            page = next(listed.pages, ())
            return [_found(f"gs://{bucket}/{blob.name}", blob) for blob in page], listed.next_page_token

        status, answer = self._called(prefix, ask, fine=(404,))
        if status == 404:
            raise UsageError(f"there is no such bucket: {prefix}")
        found: tuple[list[Found], str | None] = answer
        return found

    def _called(self, uri: str, call: Any, *, fine: tuple[int, ...]) -> tuple[int, Any]:
        """The status of a call and its answer. Raises Broken, UsageError."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError
        from google.cloud.storage.exceptions import InvalidResponse
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        try:
            return 200, call()
        except (GoogleAPICallError, InvalidResponse) as error:
            code = error.code if isinstance(error, GoogleAPICallError) else error.response.status_code
            status = int(code or 0)
            if status in fine:
                return status, None
            if 400 <= status < 500 and status not in (408, 429):
                raise UsageError(f"the store answers {status}: {uri}; {_CURE}") from error
            raise Broken(f"the store answers {status}") from error
        except (DefaultCredentialsError, RefreshError) as error:
            raise UsageError(f"there are no credentials for {uri}: {error}; {_CURE}") from error
        except (GoogleAuthError, TransportError, RequestException, HTTPError, ConnectionError) as error:
            raise Broken(f"the store does not answer: {error}") from error


def _found(uri: str, blob: Any) -> Found:
    md5 = base64.b64decode(blob.md5_hash).hex() if blob.md5_hash else ""
    return Found(uri, int(blob.size or 0), f"md5:{md5}" if md5 else f"generation:{blob.generation}")
