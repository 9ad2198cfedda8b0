"""What can go wrong, sorted by who can mend it.

Three families, told apart by what a run does with them:

- `IngestError`: this input is at fault. It becomes a reject; the run goes on.
- `Outage`: the world is at fault (store, disk, network). Retried, then raised; never a reject.
- `UsageError`: the command or the settings are at fault. Said before anything starts.

Every exception takes one message and defines no `__init__`, so that it can be
unpickled on another worker.
"""


class ReelvecError(Exception):
    """Anything that Reelvec raises on purpose."""


class IngestError(ReelvecError):
    """One input cannot be indexed; it becomes a reject and the run goes on."""

    #: True where another try on a later run can help (a decoder that crashed or timed out).
    transient = False


class NoMedia(IngestError):
    """The file holds no picture and no sound, whatever its name says."""


class UnreadableVideo(IngestError):
    """The container or codec cannot be decoded. Retrying cannot help, so the video is rejected."""


class ForbiddenMedia(IngestError):
    """The container format or codec is not on the list of allowed ones (a playlist, a script)."""


class LimitExceeded(IngestError):
    """Decoding would need more memory, pixels, time or output than the limits allow."""


class DecoderCrashed(IngestError):
    """The decoder died or hung. Tried again on later runs, a few times."""

    transient = True


class VideoChanged(IngestError):
    """The file changed while it was read; it is deferred to the next run, never rejected."""

    transient = True


class RemoteRefused(IngestError):
    """A server, or a rule of ours, does not let the file be fetched. Retrying cannot help."""


class RemoteUnavailable(IngestError):
    """A web server does not answer, fails or breaks off, after all tries. Tried again on later runs, a few times."""

    transient = True


class Outage(ReelvecError):
    """The store, the disk or the network failed; the run stops and the next one goes on."""


class StoreUnavailable(Outage):
    """The vector store does not answer, or answered that it did not finish."""


class SourceUnavailable(Outage):
    """A bucket, or every place that a run was to list, does not answer after all tries."""


class DiskFull(Outage):
    """There is no room left where the index lives, or where remote files are fetched to."""


class IndexLocked(Outage):
    """Another process is writing the index. The message names it."""


class RunOvertaken(Outage):
    """A newer run has the right to write this index; the older one stops before it writes anything more."""


class BadVectors(Outage):
    """An encoder gave vectors that must not be stored (NaN, wrong size, collapsed batch)."""


class SwitchRefused(Outage):
    """The vectors of another recipe were filled and did not pass the checks; searches are answered as before."""


class UsageError(ReelvecError):
    """The command cannot be carried out as given: a missing path, an unknown name."""


class RecipeMismatch(UsageError):
    """The index was made by another recipe. The message names both."""


class IndexFormatError(UsageError):
    """The folder or collection is no index of this version of Reelvec. The message says what to do."""


class MissingIndex(UsageError):
    """There is no index where one was named."""


class MissingWeights(UsageError):
    """A model's weights are not here, or are not the pinned ones. The message names the cure."""


class MissingPackage(UsageError):
    """A family of encoders needs a package that is not installed. The message names the extra to install."""


class MissingKey(UsageError):
    """A service's key is not in the environment. The message names the variable."""


class ServiceFailed(Outage):
    """A service refused, failed or answered nonsense, after all retries."""


class SpendingCap(Outage):
    """The run has sent as many requests to a service as the recipe allows (`max_requests`)."""


class MalformedEvent(IngestError):
    """A message is no event: not of the schema, nor of the form that a bucket sends."""


class ForbiddenUri(IngestError):
    """An event names what must not be read, or cannot be."""


class MissingFile(IngestError):
    """An event names a file that did not come, however often it was looked for."""
