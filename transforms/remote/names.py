"""The identity of remote media: one spelling for one file, and no secret in it.

`s3://bucket/key` and `gs://bucket/key` are spelled as the tools of their clouds spell them: the key follows as it is,
with nothing percent-encoded. An http(s) URL is percent-encoded, its host in lower case (ASCII), without a default
port and without a fragment.
"""

import re
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit, urlunsplit

from transforms.errors import UsageError

WEB = ("http", "https")
BUCKETS = ("s3", "gs")
SCHEMES = (*WEB, *BUCKETS)
_PORTS = {"http": 80, "https": 443}

#: Names of query parameters that grant access to whoever has the URL; such URLs expire, so they are no identity.
_SIGNED = re.compile(
    r"(?i)^(x-(amz|goog|oss|obs|cos)-(signature|credential|security-token|algorithm)|signature|sig|awsaccesskeyid|"
    r"googleaccessid|key-pair-id|policy|hdnea|hdnts|((access|auth|security|sas|id|api)[-_]?)?token|api[-_]?key|"
    r"password|secret)$"
)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.%]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def scheme_of(source: str) -> str:
    """The scheme of a remote source, "" for what is none."""
    scheme, mark, _ = source.partition("://")
    return scheme.lower() if mark and scheme.lower() in SCHEMES else ""


def is_remote(uri: str) -> bool:
    """Whether the URI names a file that is fetched before it is read."""
    return bool(scheme_of(uri))


def normalised(source: str) -> str:
    """The identity of what a person named. Raises UsageError for what is none, or holds a secret."""
    scheme = scheme_of(source)
    if not scheme:
        raise UsageError(f"this is not one of {', '.join(f'{name}://' for name in SCHEMES)}: {redacted(source)!r}")
    if _CONTROL.search(source):
        raise UsageError(f"an address has no control characters: {redacted(source)!r}")
    if scheme in BUCKETS:
        bucket, key = bucket_and_key(source)
        if "@" in bucket:
            raise UsageError(
                f"an address must not hold a key or a password, it would be stored with every clip: "
                f"{redacted(source)!r}; give it to the store's own client (environment, profile)"
            )
        return f"{scheme}://{bucket}/{key}"
    return _normalised_url(source)


def bucket_and_key(uri: str) -> tuple[str, str]:
    """The bucket and the key, or the prefix, of s3:// and gs://. Raises UsageError where there is no bucket."""
    _, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise UsageError(f"an address of a bucket is s3://BUCKET/PREFIX or gs://BUCKET/PREFIX: {uri!r}")
    return bucket, key


def redacted(url: str) -> str:
    """An address for a message: without user, password and query."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("/")
    path = path if scheme.lower() in BUCKETS else path.partition("?")[0].partition("#")[0]
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _normalised_url(source: str) -> str:
    parts = split_url(source)
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"an address must not hold a user or a password, it would be stored with every clip: {redacted(source)!r}; "
            "put the file into a bucket, or behind an address that needs none"
        )
    secret = next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _SIGNED.match(name)), None)
    if secret is not None:
        raise UsageError(
            f"a signed address expires and would be stored with every clip: {redacted(source)!r} has the parameter "
            f"{secret!r}; name the object itself, as s3://BUCKET/KEY or gs://BUCKET/KEY"
        )
    return urlunsplit((parts.scheme, host_and_port(parts), _encoded(parts.path or "/"), _encoded(parts.query), ""))


def split_url(url: str) -> SplitResult:
    """The parts of an http(s) URL with a host. Raises UsageError for anything else."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        if host:
            ascii_host(host)
    except ValueError as error:  # a port that is none, a bracket that stays open, a name that IDNA does not know
        raise UsageError(f"this is no address that can be fetched: {redacted(url)!r}: {error}") from error
    if parts.scheme not in WEB or not host:
        raise UsageError(f"only http:// and https:// addresses with a host are fetched: {redacted(url)!r}")
    return parts


def host_and_port(parts: SplitResult) -> str:
    """What the header Host says: the name in ASCII, and the port where it is not the usual one."""
    assert parts.hostname
    host = ascii_host(parts.hostname)
    shown = f"[{host}]" if ":" in host else host
    return shown if parts.port in (None, _PORTS[parts.scheme]) else f"{shown}:{parts.port}"


def ascii_host(host: str) -> str:
    """A host's name as it is looked up; raises ValueError where it has none."""
    name = host.lower() if host.isascii() else host.encode("idna").decode("ascii")
    if not _HOST.fullmatch(name):
        raise ValueError(f"no host has this name: {host!r}")
    return name


def port_of(parts: SplitResult) -> int:
    """The port to connect to."""
    return parts.port or _PORTS[parts.scheme]


def _encoded(text: str) -> str:
    """Percent-encoded once: what is encoded already stays, in upper case."""
    text = re.sub(r"%([0-9a-fA-F]{2})", lambda match: match[0].upper(), text)
    return quote(text, safe="/:@!$&'()*+,;=?~-._%")
