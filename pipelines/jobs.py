"""A pipeline as a job: where its stages run, what that allows, how it is waited for, and what ended it."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipelines.engines import RUNNERS, beam_options, parsed, runner_name
from pipelines.settings import IngestSettings
from transforms import errors, interrupt
from transforms.errors import MissingPackage, Outage, ReelvecError, UsageError
from transforms.index.location import IndexLocation
from transforms.records import Work

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

#: A Dataflow job's description may be 20 MB; what is to be done is part of it.
MOST_DESCRIBED_BYTES = 8 * 2**20

_LOOK_SECONDS = 0.5
_RAISED = re.compile(r"transforms\.errors\.(\w+): (.*)")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Engine:
    """A runner with its options; `here`: the stages run in this process, so that it hears of them and can stop them."""

    runner: str
    options: tuple[str, ...]
    here: bool
    spreads: bool  # over several workers: segments are dealt out; one worker commits sooner without


def engine_of(options: Sequence[str]) -> Engine:
    """The engine that a run's Beam options name, in process where they name none; raises UsageError."""
    rest = list(options)
    name = "local"
    for place, option in enumerate(rest):
        if option.partition("=")[0] == "--runner":
            value = option.partition("=")[2] or rest[place + 1 : place + 2][0]
            name = runner_name(value)
            del rest[place : place + (1 if "=" in option else 2)]
            break
    complete = beam_options(name, rest)
    seen = parsed(complete)
    here = _is_here(name, seen)
    return Engine(name, tuple(complete), here, spreads=name != "local" or _threads_of(seen) > 1)


def check_settings(settings: IngestSettings, location: IndexLocation) -> None:
    """Raise UsageError before a run begins where its engine cannot do what is asked."""
    engine = engine_of(settings.beam_options)
    check_index(engine, location)
    if settings.detach:
        check_detached(engine)
    if engine.runner == "dataflow":
        check_dataflow_installed()
        _check_credentials(engine)


def check_index(engine: Engine, location: IndexLocation) -> None:
    """Raise UsageError where this engine's workers cannot write this index: a folder is written by one process."""
    if location.kind == "server":
        if engine.runner == "dataflow" and location.loopback:
            raise UsageError(f"workers of dataflow do not reach a server of this machine: --index {location}")
        return
    reason = _several_writers(engine)
    if reason:
        raise UsageError(
            f"an index folder is written by one process of this machine, and {reason}: --index {location}; "
            "take a Qdrant server (--index http://host:6333/NAME), or --runner local"
        )


def check_work(engine: Engine, work: Sequence[Work]) -> None:
    """Raise UsageError for work that this engine cannot be given."""
    if engine.runner != "dataflow":
        return
    local = next((each.video.uri for each in work if each.video.uri.startswith("file:")), None)
    if local is not None:
        raise UsageError(f"workers of dataflow do not see the files of this machine: {local}; name what is in a bucket")
    described = sum(len(each.video.uri) + 200 for each in work)
    if described > MOST_DESCRIBED_BYTES:
        most = int(len(work) * MOST_DESCRIBED_BYTES / described)
        raise UsageError(
            f"{len(work)} videos make a job of more than dataflow takes; say `reindex --max-videos {most}`, "
            "and the next run goes on"
        )


def check_detached(engine: Engine) -> None:
    """Raise UsageError where a job would end with the process that sent it."""
    lasting = engine.runner == "dataflow" or (
        engine.runner != "local" and not engine.here and any("--job_endpoint" in option for option in engine.options)
    )
    if not lasting:
        raise UsageError(
            f"--detach leaves a job to its engine, and one of --runner {engine.runner} without a --job_endpoint ends "
            "with this process; leave --detach out"
        )


def named_after(engine: Engine, location: IndexLocation) -> list[str]:
    """The options, with a job name of the index's own: Dataflow refuses a second job of one name while one runs."""
    if engine.runner != "dataflow" or any(option.partition("=")[0] == "--job_name" for option in engine.options):
        return list(engine.options)
    name = re.sub("[^a-z0-9-]+", "-", location.name.lower()).strip("-")
    return [*engine.options, f"--job_name=reelvec-{name}"[:63].rstrip("-")]


def submitted(pipeline: Any, engine: Engine) -> Any:
    """Start the job; gives Beam's handle on it. Raises Outage where its engine does not take it."""
    try:
        return pipeline.run()
    except Exception as error:  # what an endpoint that is not there raises depends on the runner
        reason = _of_engine(error, engine, "did not take the job")
        if reason is error:
            raise
        raise reason from error


def check_dataflow_installed() -> None:
    """Raise MissingPackage, a UsageError, where Beam's Dataflow runner lacks Google's libraries."""
    try:
        from apache_beam.runners.dataflow.internal import apiclient  # noqa: F401  is it there?
    except ImportError as error:
        raise MissingPackage("dataflow needs Google's libraries: pip install 'reelvec[dataflow]'") from error


def _check_credentials(engine: Engine) -> None:
    """Raise UsageError where Google's libraries find no credentials; they would try for half a minute."""
    import google.auth
    from apache_beam.options.pipeline_options import GoogleCloudOptions
    from google.auth.exceptions import GoogleAuthError

    if parsed(engine.options).view_as(GoogleCloudOptions).no_auth:
        return
    try:
        google.auth.default()
    except GoogleAuthError as error:
        raise UsageError(
            f"there are no credentials for dataflow ({str(error).partition('.')[0]}): "
            "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS"
        ) from error


def finished(result: Any, engine: Engine) -> None:
    """Wait until a job is over; where somebody asks to stop, it is cancelled, and what it committed stays.

    Raises what a worker raised on purpose as it was raised, and Outage for whatever else ended the job.
    """
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            result.wait_until_finish()
        except BaseException as error:
            failures.append(error)

    waiting = threading.Thread(target=wait, name="job", daemon=True)
    waiting.start()
    cancelled = False
    while waiting.is_alive():
        waiting.join(_LOOK_SECONDS)
        if interrupt.requested() and not engine.here and not cancelled:
            cancelled = True
            result.cancel()
    if failures and not cancelled:
        reason = _of_engine(failures[0], engine, "did not finish the job")
        raise reason from (None if reason is failures[0] else failures[0])


def _of_engine(error: BaseException, engine: Engine, did: str) -> BaseException:
    """The reason that a runner wrapped, or wrote into its own message, as it was raised."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ReelvecError):
            return seen
        seen = seen.__cause__ or seen.__context__
    if engine.runner == "local" or not isinstance(error, Exception):
        return error  # the in-process runner raises what a stage raised
    for name, said in reversed(_RAISED.findall(str(error))):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, ReelvecError):
            return kind(said.split("\\n")[0].strip())
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-1] if lines else type(error).__name__
    return Outage(f"{engine.runner} {did}: {said[:500]}; run again: what was committed stays")


def _is_here(name: str, options: "PipelineOptions") -> bool:
    from apache_beam.options.pipeline_options import DebugOptions, DirectOptions, PortableOptions

    if name == "local":
        return str(options.view_as(DirectOptions).direct_running_mode) != "multi_processing"
    kind = options.view_as(PortableOptions).environment_type
    loopback = kind == "LOOPBACK" or (name == "prism" and not kind)
    apart = options.view_as(DebugOptions).lookup_experiment("use_loopback_process_worker", False)
    return bool(loopback and not apart)


def _threads_of(options: "PipelineOptions") -> int:
    from apache_beam.options.pipeline_options import DirectOptions

    workers = options.view_as(DirectOptions).direct_num_workers
    return 1 if workers is None else int(workers) or 2  # 0: as many as there are processors


def _several_writers(engine: Engine) -> str:
    """Why more than one process, or one elsewhere, would write; "" where it is one process of this machine."""
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions

    if engine.here:
        return ""
    if engine.runner == "local":
        return "direct_running_mode=multi_processing starts others (multi_threading does not)"
    if engine.runner == "dataflow":
        return "dataflow's workers are machines of their own"
    options = parsed(engine.options)
    portable, flink = options.view_as(PortableOptions), options.view_as(FlinkRunnerOptions)
    endpoint = portable.job_endpoint
    if endpoint and not _is_local(endpoint):
        return f"--job_endpoint={endpoint} is another one"
    if portable.environment_type not in ("EXTERNAL", "PROCESS", "LOOPBACK"):
        return f"workers in containers do not see it (--environment_type={portable.environment_type or 'DOCKER'})"
    pool = portable.environment_config or portable.lookup_environment_option("external_service_address") or ""
    if portable.environment_type == "EXTERNAL" and not _is_local(pool):
        return f"the workers at {pool} are elsewhere"
    if str(portable.sdk_worker_parallelism) != "1":
        return f"--sdk_worker_parallelism={portable.sdk_worker_parallelism} may start several"
    if engine.runner != "prism" and flink.parallelism != 1:
        return f"{RUNNERS[engine.runner]} may start several (say --parallelism=1 where it is to be one)"
    return ""


def _is_local(address: str) -> bool:
    return (urlsplit(address if "//" in address else f"//{address}").hostname or "") in _LOCAL_HOSTS
