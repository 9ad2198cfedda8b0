"""Dataflow without a cloud: the template's parameters, the launcher, and the job that the whole graph becomes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions

from pipelines import jobs, launch
from pipelines.engines import parsed
from pipelines.ingest import build
from pipelines.settings import IngestSettings
from transforms.errors import MissingPackage, UsageError
from transforms.index.location import API_KEY_VARIABLE, IndexLocation
from transforms.recipe import load_recipe
from transforms.records import VideoRef, Work

DEPLOY = Path(__file__).parents[1] / "deploy/dataflow"
CLOUD = ["--project=films-1234", "--region=europe-west1", "--temp_location=gs://bucket/temp"]
INDEX = "https://qdrant.example:6333/films?key_from=gcp:projects/films-1234/secrets/qdrant/versions/1"
GOOD = [f"--index={INDEX}", "--sources=gs://films/*.mp4,gs://more/"]


def has_google() -> bool:
    try:
        jobs.check_dataflow_installed()
    except MissingPackage:
        return False
    return True


google = pytest.mark.skipif(not has_google(), reason="Google's libraries are not installed: make dataflow-check")


def test_the_metadata_of_the_template_is_what_the_launcher_takes():
    assert json.loads((DEPLOY / "metadata.json").read_text()) == launch.metadata(), (
        "python -m pipelines.launch --metadata"
    )
    taken = set(IngestSettings.model_fields) | {"workers"}
    for parameter in launch.PARAMETERS:
        assert parameter.name in taken
        assert re.compile(parameter.regex).pattern.startswith("^") and parameter.regex.endswith("$")
        assert len(parameter.help) > 10 and (parameter.kind == "ENUM") == bool(parameter.values)


@google
def test_google_knows_every_field_of_the_metadata():
    from google.cloud.dataflow_v1beta3.types import ParameterMetadata, ParameterType

    known = {
        "".join(part.title() if at else part for at, part in enumerate(name.split("_")))
        for name in ParameterMetadata.meta.fields
    }
    for parameter in launch.metadata()["parameters"]:
        assert set(parameter) - {"enumOptions"} <= known
        assert parameter["paramType"] == "ENUM" or parameter["paramType"] in ParameterType.__members__


def test_parameters_become_settings_and_the_rest_is_beams():
    settings = launch.settings_of(
        [
            *GOOD,
            "--clip_seconds=4.5",
            "--workers=gpu-l4",
            "--device=cuda",
            "--recipe=",
            *CLOUD,
            "--runner=DataflowRunner",
        ]
    )
    assert settings.sources == ("gs://films/*.mp4", "gs://more/") and settings.detach
    assert (settings.clip_seconds, settings.device, settings.recipe) == (4.5, "cuda", None)
    options = settings.beam_options
    assert options[0] == "--runner=DataflowRunner" and options.count("--runner=DataflowRunner") == 1
    assert {"--sdk_location=container", "--number_of_worker_harness_threads=1"} <= set(options)
    assert any("nvidia-l4;count:1;install-nvidia-driver" in option for option in options)
    other = launch.settings_of([*GOOD, *CLOUD, "--machine_type=n2-highmem-4", "--experiments=shuffle_mode=service"])
    assert [option for option in other.beam_options if "machine_type" in option] == ["--machine_type=n2-highmem-4"]
    assert "--experiments=no_use_multiple_sdk_containers" in other.beam_options
    stream = launch.settings_of([*GOOD, *CLOUD, "--streaming"])
    assert "--dataflow_service_options=streaming_mode_at_least_once" in stream.beam_options


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (["--clip_seconds=0.2"], "clip_seconds.*0.2"),
        (["--clip_seconds=long"], "clip_seconds.*long"),
        (["--prefetch=17"], "prefetch.*1 to 16"),
        (["--device=tpu"], "device"),
        (["--max_delete=all"], "max_delete"),
        (["--max_hours=0"], "max_hours"),
        (["--workers=gpu-h900"], "workers"),
        (["--no_such_parameter=1"], "no_such_parameter"),
        (["--index=https://user:secret@host/films"], "index"),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(bad, said, capsys):
    given = [each for each in GOOD if each.partition("=")[0] != bad[0].partition("=")[0]]
    assert launch.main([*given, *CLOUD, *bad]) == 2
    told = capsys.readouterr()
    assert re.search(said, told.err) and not told.out


def test_the_script_refuses_parameters_before_anything_is_launched():
    def checked(*given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(DEPLOY / "check_parameters.py"), *given]
        return subprocess.run(command, capture_output=True, text=True)

    good = [f"index={INDEX}", "sources=gs://films/*.mp4"]
    assert checked(*good).returncode == 0
    for bad, said in (([*good, "prefetch=99"], "prefetch"), ([*good, "clips=3"], "clips"), (good[1:], "index")):
        refused = checked(*bad)
        assert refused.returncode == 2 and said in refused.stderr


def test_dataflow_without_googles_libraries_says_what_to_install(tmp_path):
    if has_google():
        pytest.skip("Google's libraries are installed here")
    with pytest.raises(MissingPackage, match=r"reelvec\[dataflow\]"):
        jobs.check_settings(launch.settings_of([*GOOD, *CLOUD]), IndexLocation.parse(INDEX))


def test_the_key_of_a_server_travels_as_the_place_where_it_is(tmp_path, monkeypatch):
    location = IndexLocation.parse(INDEX)
    assert IndexLocation.parse(str(location)) == location
    monkeypatch.setenv(API_KEY_VARIABLE, "one")
    monkeypatch.setenv("OTHER_KEY", "two")
    (tmp_path / "key").write_text("three\n")
    base = "https://qdrant.example:6333/films"
    assert IndexLocation.parse(base).api_key() == "one"
    assert IndexLocation.parse(f"{base}?key_from=env:OTHER_KEY").api_key() == "two"
    assert IndexLocation.parse(f"{base}?key_from=file:{tmp_path}/key").api_key() == "three"
    for bad in ("sesame", "env:", "file:relative", "gcp:qdrant"):
        with pytest.raises(UsageError, match="key_from=env:NAME"):
            IndexLocation.parse(f"{base}?key_from={bad}")
    for missing in ("env:NOT_THERE", f"file:{tmp_path}/none"):
        with pytest.raises(UsageError, match="key of the index"):
            IndexLocation.parse(f"{base}?key_from={missing}").api_key()


@google
def test_the_whole_graph_becomes_a_dataflow_job(tmp_path, monkeypatch):
    """As far as Beam goes without a cloud: the job's description and the staged graph, up to the request itself."""
    from apache_beam.portability.api import beam_runner_api_pb2
    from apache_beam.runners.dataflow.internal import apiclient

    monkeypatch.setenv(API_KEY_VARIABLE, "open-sesame")
    settings = launch.settings_of([*GOOD, *CLOUD, "--workers=gpu-l4", "--device=cuda"])
    image = "--sdk_container_image=europe-docker.pkg.dev/films/reelvec@sha256:" + "0" * 64
    more = [image, "--dry_run=True", "--no_auth", "--staging_location=gs://bucket/staging"]
    engine = jobs.engine_of((*settings.beam_options, *more))
    location = IndexLocation.parse(INDEX)
    pipeline = beam.Pipeline(options=parsed(jobs.named_after(engine, location)))
    work = [Work(VideoRef(f"gs://films/{number}.mp4", 1, "1")) for number in range(3)]
    build(pipeline, work, settings, load_recipe("offline"), spreads=engine.spreads)
    job = jobs.submitted(pipeline, engine).job  # --dry_run: all but the request
    for options in (job.google_cloud_options, job.options.view_as(GoogleCloudOptions)):
        options.staging_location = str(tmp_path)
    apiclient.DataflowApplicationClient(job.options, str(tmp_path)).create_job_description(job)
    told = json.loads(job.json())
    assert (told["name"], told["type"]) == ("reelvec-films", "JOB_TYPE_BATCH")
    (pool,) = told["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == image.partition("=")[2]
    assert (pool["machineType"], pool["numThreadsPerWorker"]) == ("g2-standard-8", 1)
    staged = (tmp_path / "pipeline.pb").read_bytes()
    graph = beam_runner_api_pb2.Pipeline.FromString(staged)
    labels = {transform.unique_name for transform in graph.components.transforms.values()}
    assert {"Spread", "Embed/DecodeEncodeFuse", "Write/Upsert", "Reject/Enter"} <= labels
    assert b"open-sesame" not in staged and "open-sesame" not in job.json()


@google
def test_a_launch_without_credentials_says_so_at_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert launch.main([*GOOD, *CLOUD]) == 2
    assert "GOOGLE_APPLICATION_CREDENTIALS" in capsys.readouterr().err
