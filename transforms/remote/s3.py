"""s3://: Amazon's store and all that speak its protocol."""

import http.client
from collections.abc import Iterator
from typing import Any

from transforms.errors import RemoteRefused, UsageError, VideoChanged
from transforms.records import VideoRef
from transforms.remote.clients import s3_client
from transforms.remote.names import bucket_and_key
from transforms.remote.store import Arriving, Broken, Checksum, Found
from transforms.remote.tries import tried

_CHUNK_BYTES = 2**20
_CURE = (
    "give boto3 credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the role of the machine; "
    "see docs/remote.md"
)


class S3:
    """Buckets of S3; a version is the ETag."""

    def __init__(self) -> None:
        self._client: Any = s3_client()

    def look(self, uri: str) -> Found | None:
        """Size and ETag of one object; None where there is none. Raises RemoteRefused, UsageError, Broken."""
        bucket, key = bucket_and_key(uri)
        status, found = self._called(uri, lambda: self._client.head_object(Bucket=bucket, Key=key), fine=(403, 404))
        if status == 403:  # so it answers whoever may not list, also where there is no such object
            raise RemoteRefused(f"the store refuses the object, or does not let it be listed: {uri}; {_CURE}")
        return None if found is None else Found(uri, int(found["ContentLength"]), f"etag:{_plain(found['ETag'])}")

    def pages(self, prefix: str) -> Iterator[list[Found]]:
        """All objects whose address begins so, a thousand at a time."""
        bucket, key = bucket_and_key(prefix)
        token: dict[str, str] = {}
        while True:
            page = tried(lambda: self._page(prefix, bucket, key, token))  # noqa: B023  # called before token changes
            yield [
                Found(f"s3://{bucket}/{one['Key']}", int(one["Size"]), f"etag:{_plain(one['ETag'])}")
                for one in page.get("Contents", ())
            ]
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def bring(self, video: VideoRef, offset: int, into: Arriving) -> Checksum | None:
        """Bring the object from this byte on, if its ETag is still the listed one."""
        from botocore.exceptions import BotoCoreError

        bucket, key = bucket_and_key(video.uri)
        etag = video.version.removeprefix("etag:")
        wanted = {"Range": f"bytes={offset}-"} if offset else {}
        status, answer = self._called(
            video.uri,
            lambda: self._client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"', **wanted),
            fine=(403, 404, 412, 416),
        )
        if status == 403:
            raise RemoteRefused(f"the store refuses the object ({answer}): {video.uri}")
        if status in (404, 412, 416):
            raise VideoChanged(f"the object changed or vanished before it was fetched: {video.uri}; {_LATER}")
        into.begins_at(offset)
        try:
            for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
                into.write(chunk)
        except (BotoCoreError, OSError, http.client.HTTPException) as error:
            raise Broken(f"the connection broke: {error}") from error
        return Checksum("md5", etag) if _is_md5(etag, answer) else None

    def still_there(self, video: VideoRef) -> None:
        """An object never changes under its ETag, and every request named it."""

    def _page(self, prefix: str, bucket: str, key: str, token: dict[str, str]) -> Any:
        status, page = self._called(
            prefix, lambda: self._client.list_objects_v2(Bucket=bucket, Prefix=key, **token), fine=(403, 404)
        )
        if status == 404:
            raise UsageError(f"there is no such bucket: {prefix}")
        if status == 403:
            raise UsageError(f"the store does not let this be listed ({page}): {prefix}; {_CURE}")
        return page

    def _called(self, uri: str, call: Any, *, fine: tuple[int, ...]) -> tuple[int, Any]:
        """The status of a call and its answer, or the store's word for a failure. Raises Broken, UsageError."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            InvalidConfigError,
            NoCredentialsError,
            ParamValidationError,
            PartialCredentialsError,
            ProfileNotFound,
            TokenRetrievalError,
        )

        try:
            return 200, call()
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            word = str(error.response.get("Error", {}).get("Code", status))
            if status in fine:
                return status, word if status != 404 else None
            if 400 <= status < 500 and status not in (408, 429):
                raise UsageError(f"the store answers {word}: {uri}; {_CURE}") from error
            raise Broken(f"the store answers {word}") from error
        except (NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError) as error:
            raise UsageError(f"there are no credentials for {uri}: {error}; {_CURE}") from error
        except (InvalidConfigError, ParamValidationError) as error:
            raise UsageError(f"this cannot be asked of the store: {uri}: {error}") from error
        except (BotoCoreError, OSError, http.client.HTTPException) as error:
            raise Broken(f"the store does not answer: {error}") from error


_LATER = "the next run takes it up"


def _plain(etag: str) -> str:
    return etag.strip('"')


def _is_md5(etag: str, answer: Any) -> bool:
    """Whether an ETag is the MD5 of the bytes: not of an upload in parts, nor under a key of the key service."""
    encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
    plain = len(etag) == 32 and all(letter in "0123456789abcdef" for letter in etag)
    return plain and not encrypted and "SSECustomerAlgorithm" not in answer
