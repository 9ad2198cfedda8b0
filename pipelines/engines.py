"""Which engine runs a pipeline, and the Beam options that the pipeline is made with.

Beam takes any option and passes over in silence what it does not know; here an option is known or refused.
"""

import argparse
import difflib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transforms.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

#: What people write -> what Beam calls it. `DirectRunner` alone would take whichever of three engines suits.
RUNNERS = {
    "local": "FnApiRunner",
    "prism": "PrismRunner",
    "flink": "FlinkRunner",
    "dataflow": "DataflowRunner",
    "portable": "PortableRunner",
}
_ALSO = {"directrunner": "local", "direct": "local"} | {beam.lower(): name for name, beam in RUNNERS.items()}

#: Options of a Flink job server that Beam's Python side does not list itself (FlinkPipelineOptions of Beam 2.77).
_OF_FLINK = (
    "allow_non_restored_state auto_watermark_interval checkpoint_timeout_millis checkpointing_interval "
    "checkpointing_mode execution_mode_for_batch execution_retry_delay externalized_checkpoints_enabled "
    "fail_on_checkpointing_errors faster_copy finish_bundle_before_checkpointing flink_conf_dir "
    "latency_tracking_interval max_bundle_size max_bundle_time_mills min_pause_between_checkpoints "
    "num_concurrent_checkpoints number_of_execution_retries object_reuse "
    "retain_externalized_checkpoints_on_cancellation savepoint_path shutdown_sources_after_idle_ms state_backend "
    "state_backend_storage_path unaligned_checkpoint_enabled"
).split()

#: Whoever may see a job may see its options, so what opens a door goes to the workers by their environment.
_SECRETS = {
    "s3_access_key_id": "AWS_ACCESS_KEY_ID",
    "s3_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "s3_session_token": "AWS_SESSION_TOKEN",
    "azure_connection_string": "AZURE_STORAGE_CONNECTION_STRING",
}
FLINK_JAR_VARIABLE = "FLINK_JOB_SERVER_JAR"


def runner_name(runner: str) -> str:
    """`local`, `prism`, `flink`, `dataflow` or `portable`, from what a person wrote; raises UsageError."""
    name = _ALSO.get(runner.lower(), runner.lower())
    if name not in RUNNERS:
        near = difflib.get_close_matches(name, [*RUNNERS, *_ALSO], n=1)
        hint = f"; did you mean {_ALSO.get(near[0], near[0])}?" if near else ""
        raise UsageError(f"there is no runner {runner!r}: --runner is one of {', '.join(RUNNERS)}{hint}")
    return name


def beam_options(runner: str, extra: Sequence[str] = ()) -> list[str]:
    """The options that a pipeline of this runner is made with; `extra` are Beam's own, as they follow `--`.

    Raises UsageError for what Beam does not know, for secrets among the options, and for what the runner lacks.
    """
    name = runner_name(runner)
    own = checked_options(extra)
    if any(option.partition("=")[0] == "--runner" for option in own):
        raise UsageError(f"the runner is said before the options of Beam: --runner {name}, without another behind --")
    return [f"--runner={RUNNERS[name]}", *own, *_COMPLETED[name](parsed(own))]


def checked_options(options: Sequence[str]) -> list[str]:
    """Options as Beam takes them, `--job-endpoint` as `--job_endpoint`; raises UsageError for one it does not know."""
    parser, known = _parser()
    own = [_underscored(option, known) for option in options]
    try:
        _, unknown = parser.parse_known_args(own)
    except argparse.ArgumentError as error:
        raise UsageError(f"an option of Beam is not right: {error}") from error
    if unknown:
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        cure = f"did you mean {near[0]}?" if near else "what follows -- are options of Beam; say what is ours before it"
        raise UsageError(f"Beam has no option {unknown[0]!r}, and would pass over it in silence; {cure}")
    for option in own:
        name = option.partition("=")[0].removeprefix("--")
        if name in _SECRETS:
            raise UsageError(
                f"--{name} would be readable by whoever can see the job; set {_SECRETS[name]} where the workers run, "
                "or give them a role"
            )
    return own


def parsed(options: Sequence[str]) -> "PipelineOptions":
    """Beam's view of options."""
    from apache_beam.options.pipeline_options import PipelineOptions

    return PipelineOptions(list(options))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # argparse would end the process
        raise argparse.ArgumentError(None, message)

    def add_value_provider_argument(self, *names: str, **settings: object) -> None:
        """What Beam's own options ask their parser for; the value is given now or never here."""
        self.add_argument(*names, **settings)  # type: ignore[arg-type]


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    """A parser of every option that Beam knows, and their names."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = _Parser(allow_abbrev=False, add_help=False)
    for options in {str(each): each for each in PipelineOptions.__subclasses__()}.values():
        options._add_argparse_args(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    for name in _OF_FLINK:
        if f"--{name}" not in known:
            parser.add_argument(f"--{name}", nargs="?", const="true")
    return parser, sorted(known | {f"--{name}" for name in _OF_FLINK})


def _underscored(option: str, known: Sequence[str]) -> str:
    name, equals, value = option.partition("=")
    other = "--" + name.removeprefix("--").replace("-", "_")
    return f"{other}{equals}{value}" if name.startswith("--") and name not in known and other in known else option


def _for_prism(options: "PipelineOptions") -> list[str]:
    from apache_beam.options.pipeline_options import PortableOptions, PrismRunnerOptions

    if options.view_as(PortableOptions).job_endpoint:
        return []
    place = options.view_as(PrismRunnerOptions).prism_location
    found = shutil.which("prism")
    if place is None and found is None:
        raise UsageError(
            "there is no prism on PATH: `make prism` builds it, or name a binary behind --: --prism_location=FILE"
        )
    if place is not None and "://" not in place and not Path(place).is_file():
        raise UsageError(f"there is no prism at --prism_location={place}; `make prism` builds one")
    return [] if place is not None else [f"--prism_location={found}"]


def _for_flink(options: "PipelineOptions") -> list[str]:
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions

    if options.view_as(PortableOptions).job_endpoint:
        return []
    jar = options.view_as(FlinkRunnerOptions).flink_job_server_jar
    named = jar or os.environ.get(FLINK_JAR_VARIABLE)
    if not named:
        raise UsageError(
            "flink takes jobs through a job server: name one behind -- (--job_endpoint=HOST:PORT), or the jar of one "
            f"(--flink_job_server_jar=FILE, or {FLINK_JAR_VARIABLE}); see deploy/flink"
        )
    if "://" not in named and not Path(named).is_file():
        raise UsageError(f"there is no job server at {named}: --flink_job_server_jar, or {FLINK_JAR_VARIABLE}")
    return [] if jar else [f"--flink_job_server_jar={named}"]


def _for_dataflow(options: "PipelineOptions") -> list[str]:
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    cloud = options.view_as(GoogleCloudOptions)
    missing = [name for name in ("project", "region", "temp_location") if not getattr(cloud, name)]
    if missing:
        wanted = " ".join(f"--{name}=..." for name in missing)
        raise UsageError(f"dataflow has to be told where it runs: name behind -- also {wanted}")
    if not cloud.temp_location.startswith("gs://"):
        raise UsageError(f"dataflow keeps its files in a bucket: --temp_location={cloud.temp_location} is no gs://...")
    return []


def _for_portable(options: "PipelineOptions") -> list[str]:
    from apache_beam.options.pipeline_options import PortableOptions

    if not options.view_as(PortableOptions).job_endpoint:
        raise UsageError("a portable job has to be sent somewhere: name behind -- its --job_endpoint=HOST:PORT")
    return []


_COMPLETED: dict[str, Callable[["PipelineOptions"], list[str]]] = {
    "local": lambda options: [],
    "prism": _for_prism,
    "flink": _for_flink,
    "dataflow": _for_dataflow,
    "portable": _for_portable,
}
