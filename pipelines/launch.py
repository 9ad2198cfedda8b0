"""What a Dataflow Flex Template starts: parameters and Beam options in, a submitted job out; it never waits for it."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.engines import beam_options
from pipelines.settings import IngestSettings
from transforms.errors import UsageError

#: One SDK process a machine, so that models are loaded once and a GPU has one owner; nothing is installed at start.
_ALWAYS = ("--sdk_location=container", "--experiments=no_use_multiple_sdk_containers")
_ONE_EACH = ";count:1;install-nvidia-driver"
#: Machines that fit; what is said of a machine in the launch request wins. Threads: decoding is done by children of
#: the one process, two segments ahead, and one bundle feeds a GPU.
WORKERS = {
    "cpu": ("--machine_type=n2-standard-8", "--number_of_worker_harness_threads=2", "--disk_size_gb=50"),
    "gpu-l4": (
        "--machine_type=g2-standard-8",
        "--number_of_worker_harness_threads=1",
        "--disk_size_gb=100",
        f"--dataflow_service_options=worker_accelerator=type:nvidia-l4{_ONE_EACH}",
    ),
    "gpu-t4": (
        "--machine_type=n1-standard-8",
        "--number_of_worker_harness_threads=1",
        "--disk_size_gb=100",
        f"--dataflow_service_options=worker_accelerator=type:nvidia-tesla-t4{_ONE_EACH}",
    ),
}
#: Whatever is written twice is the same point, so streams need not pay for exactly-once.
_STREAMING = ("--dataflow_service_options=streaming_mode_at_least_once",)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the template; `regex` is what the console checks, the settings check again."""

    name: str
    label: str
    help: str
    regex: str
    optional: bool = True
    kind: Literal["TEXT", "ENUM"] = "TEXT"
    values: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As the template's metadata says it."""
        choices = {"enumOptions": [{"value": value} for value in self.values]} if self.values else {}
        return {
            "name": self.name,
            "label": self.label,
            "helpText": self.help,
            "paramType": self.kind,
            "isOptional": self.optional,
            "regexes": [self.regex],
            **choices,
        }


def _one_of(name: str, label: str, text: str, values: Sequence[str]) -> Parameter:
    return Parameter(name, label, text, f"^({'|'.join(values)})$", kind="ENUM", values=tuple(values))


_COUNT, _SECONDS = "^[0-9]{1,9}$", "^[0-9]{1,5}([.][0-9]{1,3})?$"
PARAMETERS = (
    Parameter("sources", "Videos", "Objects, prefixes or globs, divided by commas: gs://bucket/films/*.mp4", "^.+$"),
    Parameter("manifest", "Manifest", 'CSV, JSON lines or Parquet with a column "uri".', "^.+$"),
    Parameter(
        "index",
        "Index",
        "A Qdrant server that workers reach: https://host:port/NAME?key_from=gcp:projects/P/secrets/S/versions/V.",
        "^https?://[^ @]+/[A-Za-z0-9][A-Za-z0-9_.-]*([?].*)?$",
        optional=False,
    ),
    Parameter("recipe", "Recipe", "The name of a recipe that the image holds.", "^[A-Za-z0-9][A-Za-z0-9_./-]*$"),
    _one_of("cut", "Cut", "Where clips end.", ("windows", "shots", "speech")),
    Parameter("clip_seconds", "Length of a clip", "Seconds, at least 1.", _SECONDS),
    Parameter("segment_seconds", "Length of a segment", "Seconds, at least 1; the unit of work.", _SECONDS),
    _one_of("device", "Device", "cuda never falls back to the processor.", ("auto", "cpu", "cuda")),
    Parameter("prefetch", "Prefetch", "Segments decoded ahead, 1 to 16.", "^([1-9]|1[0-6])$"),
    _one_of("order", "Order", "What is embedded first.", ("newest", "oldest", "smallest", "listed")),
    Parameter("max_videos", "Most videos", "Embed so many, leave the rest to the next job.", _COUNT),
    Parameter("max_hours", "Most hours", "After which workers start no new segment.", "^[0-9]{1,4}([.][0-9]{1,3})?$"),
    Parameter("max_delete", "Most deletions", "Videos to remove as gone: a share or a number.", "^[0-9]{1,9}%?$"),
    _one_of("workers", "Workers", "Machines that fit; cpu where nothing is said.", tuple(WORKERS)),
)


def metadata() -> dict[str, Any]:
    """The Flex Template's metadata."""
    return {
        "name": "Reelvec ingest",
        "description": "Makes videos in a bucket searchable in a Qdrant collection.",
        "streaming": False,
        "supportsAtLeastOnce": True,
        "supportsExactlyOnce": True,
        "defaultStreamingMode": "AT_LEAST_ONCE",
        "parameters": [parameter.as_json() for parameter in PARAMETERS],
    }


def settings_of(arguments: Sequence[str]) -> IngestSettings:
    """The settings of a launch; raises UsageError, naming the parameter, before anything is started."""
    given, rest = divided(arguments)
    workers = given.pop("workers", "cpu")
    known = {parameter.name: parameter for parameter in PARAMETERS}
    for name, value in given.items():
        if not re.fullmatch(known[name].regex, value):
            raise UsageError(f"the parameter {name} is not right: {value!r}; {known[name].help}")
    if workers not in WORKERS:
        raise UsageError(f"the parameter workers is not right: {workers!r}; one of {', '.join(WORKERS)}")
    if not given.get("sources") and not given.get("manifest"):
        raise UsageError("name the videos: the parameter sources or manifest")
    if "index" not in given:
        raise UsageError("name the index: the parameter index, https://host:port/NAME")
    options = [option for option in rest if option.partition("=")[0] != "--runner"]
    named = {option.partition("=")[0] for option in options}
    fitting = [*_ALWAYS, *WORKERS[workers], *(_STREAMING if "--streaming" in named else ())]
    options += [option for option in fitting if option.partition("=")[0] in _ADDED or _free(option, named)]
    return _checked(
        {
            **given,
            "sources": tuple(filter(None, given.get("sources", "").split(","))),
            "beam_options": tuple(beam_options("dataflow", options)),
            "detach": True,
        }
    )


#: Options that may be said several times: ours stand beside those of the launch request.
_ADDED = ("--experiments", "--dataflow_service_options")


def _free(option: str, named: set[str]) -> bool:
    name = option.partition("=")[0]
    return name not in named and not (name == "--machine_type" and "--worker_machine_type" in named)


def _checked(given: dict[str, Any]) -> IngestSettings:
    from pydantic import ValidationError

    try:
        return IngestSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"the parameter {name} is not right: {first['msg']}: {first['input']!r}") from error


def divided(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The template's own parameters, and what is left for Beam; an empty parameter counts as not given."""
    names, given, rest = {parameter.name for parameter in PARAMETERS}, dict[str, str](), list[str]()
    waiting = list(arguments)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if name.removeprefix("--") not in names:
            rest.append(f"{name}{equals}{value}")
            continue
        if not equals and waiting:
            value = waiting.pop(0)
        if value:
            given[name.removeprefix("--")] = value
    return given, rest


def main(arguments: Sequence[str] | None = None) -> int:
    """Submit the job that the arguments ask for; gives the exit code."""
    from dataclasses import asdict

    from pipelines.cli import exit_code_of
    from pipelines.ingest import ingest
    from transforms.errors import ReelvecError

    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) == ["--metadata"]:
        print(json.dumps(metadata(), indent=2))
        return 0
    try:
        print(json.dumps(asdict(ingest(settings_of(arguments))), indent=2))
    except ReelvecError as error:
        print(f"reelvec: {error}", file=sys.stderr)
        return exit_code_of(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
