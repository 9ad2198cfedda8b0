"""Which engine a run is sent to, what it refuses, and that nothing of its graph needs the process that made it."""

import importlib.util
import json
import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.pipeline import PipelineVisitor
from typer.testing import CliRunner

from pipelines import jobs
from pipelines.cli import app
from pipelines.cli_options import OK, USAGE
from pipelines.engines import FLINK_JAR_VARIABLE, beam_options
from pipelines.ingest import build, ingest
from pipelines.recipe_change import changes
from pipelines.refill import RefillFrom
from pipelines.settings import IngestSettings
from transforms.encoders.catalog import card
from transforms.encoders.handler import EncoderHandler
from transforms.errors import IndexLocked, Outage, UsageError
from transforms.index.location import API_KEY_VARIABLE, IndexLocation
from transforms.index.lock import writing
from transforms.recipe import load_recipe
from transforms.records import VideoRef, Work
from transforms.uris import uri_of_path

ROOT = Path(__file__).parents[1]
SOUNDS = 'name = "sounds"\n[segment]\nclip_seconds = 1.0\nsegment_seconds = 2.0\n[sound]\nencoder = "mfcc:statistics"\n'
FOLDER = IndexLocation.parse("/index")
SERVER = IndexLocation.parse("https://qdrant.example:6333/films")
ENDPOINT = ("--job_endpoint=localhost:8099", "--environment_type=EXTERNAL", "--environment_config=localhost:50000")
CLOUD = ("--project=p", "--region=r", "--temp_location=gs://bucket/temp")


def sound(path: Path, *, seconds: float = 5.0, hertz: float = 200.0) -> Path:
    """A tone, which takes no time to decode."""
    times = np.arange(int(8000 * seconds)) / 8000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((9000 * np.sin(2 * np.pi * hertz * times)).astype("<i2").tobytes())
    return path


def work_of(path: Path, **more) -> Work:
    found = path.stat()
    return Work(VideoRef(uri_of_path(path), found.st_size, str(found.st_mtime_ns), **more))


def test_direct_runner_means_the_engine_in_process_by_name():
    for name in ("local", "DirectRunner", "FnApiRunner"):
        assert beam_options(name) == ["--runner=FnApiRunner"]
    assert jobs.engine_of(("--runner=DirectRunner",)).options == ("--runner=FnApiRunner",)
    assert jobs.engine_of(("--runner", "DirectRunner", "--direct_num_workers=1")) == jobs.Engine(
        "local", ("--runner=FnApiRunner", "--direct_num_workers=1"), here=True, spreads=False
    )
    assert jobs.engine_of(("--direct_num_workers=2", "--direct_running_mode=multi_threading")).spreads


@pytest.mark.parametrize(
    ("runner", "extra", "said"),
    [
        ("flnk", (), "did you mean flink"),
        ("local", ("--direct_num_wrkers=2",), "did you mean --direct_num_workers"),
        ("local", ("--direct_num_workers=two",), "--direct_num_workers"),
        ("local", ("films",), "what is ours before it"),
        ("local", ("--runner=FlinkRunner",), "runner"),
        ("portable", (), "--job_endpoint"),
        ("prism", ("--prism-location=/no/prism",), "make prism"),
        ("dataflow", ("--project=p",), "--region=... --temp_location="),
        ("dataflow", ("--project=p", "--region=r", "--temp_location=/tmp"), "gs://"),
        ("portable", (*ENDPOINT, "--s3_secret_access_key=open-sesame"), "AWS_SECRET_ACCESS_KEY"),
        ("portable", (*ENDPOINT, "--s3_secret_access_key", "open-sesame"), "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_what_beam_would_pass_over_in_silence_is_refused_with_its_cure(runner, extra, said):
    with pytest.raises(UsageError, match=said) as refused:
        beam_options(runner, extra)
    assert "open-sesame" not in str(refused.value)


def test_engines_that_are_not_here_are_missed_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(FLINK_JAR_VARIABLE, raising=False)
    with pytest.raises(UsageError, match="make prism"):
        beam_options("prism")
    with pytest.raises(UsageError, match=FLINK_JAR_VARIABLE):
        beam_options("flink")
    monkeypatch.setenv(FLINK_JAR_VARIABLE, str(tmp_path / "none.jar"))
    with pytest.raises(UsageError, match=r"none\.jar"):
        beam_options("flink")
    (tmp_path / "job-server.jar").touch()
    monkeypatch.setenv(FLINK_JAR_VARIABLE, str(tmp_path / "job-server.jar"))
    assert beam_options("flink")[-1] == f"--flink_job_server_jar={tmp_path}/job-server.jar"


def test_options_of_a_flink_job_server_are_known_and_hyphens_are_taken():
    given = (*ENDPOINT, "--checkpointing-interval=60000", "--max_bundle_size", "4")
    made = beam_options("flink", given)
    assert "--checkpointing_interval=60000" in made
    assert PipelineOptions(made).view_as(PortableOptions).job_endpoint == "localhost:8099"


@pytest.mark.parametrize(
    "options",
    [
        ("--runner=portable", *ENDPOINT),
        ("--runner=portable", *ENDPOINT, "--parallelism=2"),
        ("--runner=portable", *ENDPOINT, "--parallelism=1", "--sdk_worker_parallelism=2"),
        ("--runner=portable", "--job_endpoint=flink:8099", *ENDPOINT[1:], "--parallelism=1"),
        ("--runner=portable", *ENDPOINT[:2], "--environment_config=pool:50000", "--parallelism=1"),
        ("--runner=flink", ENDPOINT[0], "--parallelism=1"),
        ("--runner=dataflow", *CLOUD),
        ("--direct_running_mode=multi_processing",),
    ],
)
def test_a_folder_is_refused_to_more_than_one_process_and_to_those_elsewhere(options):
    with pytest.raises(UsageError, match=r"one process of this machine.*Qdrant server"):
        jobs.check_index(jobs.engine_of(options), FOLDER)
    jobs.check_index(jobs.engine_of(options), SERVER)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--direct_num_workers=4", "--direct_running_mode=multi_threading"),
        ("--runner=portable", *ENDPOINT, "--parallelism=1"),
        ("--runner=flink", *ENDPOINT, "--parallelism", "1"),
        ("--runner=prism", *ENDPOINT),
    ],
)
def test_a_folder_is_written_where_one_process_writes(options):
    jobs.check_index(jobs.engine_of(options), FOLDER)


def test_an_engine_is_refused_before_a_run_begins_whether_or_not_there_is_work(tmp_path):
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    corpus.mkdir()
    run = CliRunner().invoke
    command = ["ingest", str(corpus), "--index", str(index)]
    for options in (
        ["--", "--direct_running_mode=multi_processing"],
        ["--runner", "portable", "--", *ENDPOINT],
        ["--runner", "local", "--detach"],
        ["--runner", "nothing"],
        ["--", "--no_such_option"],
    ):
        refused = run(app, [*command, *options])
        assert refused.exit_code == USAGE and refused.stderr.startswith("reelvec: "), refused.output
    assert not index.exists()
    taken = run(app, [*command, "--json", "--runner", "DirectRunner", "--", "--direct_num_workers=1"])
    assert taken.exit_code == OK and json.loads(taken.stdout)["videos_found"] == 0


def test_dataflow_is_given_neither_files_nor_servers_of_this_machine(tmp_path):
    engine = jobs.engine_of(("--runner=dataflow", *CLOUD))
    with pytest.raises(UsageError, match="do not see the files of this machine"):
        jobs.check_work(engine, [work_of(sound(tmp_path / "a.wav"))])
    remote = [Work(VideoRef(f"gs://films/{number}.mp4", 1, "1")) for number in range(3)]
    jobs.check_work(engine, remote)
    with pytest.raises(UsageError, match="--max-videos"):
        jobs.check_work(engine, remote * 20_000)
    with pytest.raises(UsageError, match="do not reach a server of this machine"):
        jobs.check_index(engine, IndexLocation.parse("http://localhost:6333/films"))
    assert jobs.named_after(engine, SERVER)[-1] == "--job_name=reelvec-films"


def test_an_endpoint_that_is_not_there_is_an_outage_and_costs_nothing(tmp_path):
    sound(tmp_path / "a.wav")
    (tmp_path / "sounds.toml").write_text(SOUNDS)
    given: dict[str, Any] = {"sources": (str(tmp_path / "a.wav"),), "index": str(tmp_path / "index")}
    given |= {"recipe": str(tmp_path / "sounds.toml"), "min_free_megabytes": 0}
    nobody = ("--job_endpoint=localhost:1", "--job_server_timeout=1", *ENDPOINT[1:], "--parallelism=1")
    with pytest.raises(Outage, match="portable did not take the job"):
        ingest(IngestSettings(**given, beam_options=("--runner=portable", *nobody)))
    assert ingest(IngestSettings(**given)).videos_indexed == 1


def test_what_a_worker_raised_on_purpose_is_raised_as_it_was():
    engine = jobs.Engine("portable", (), here=False, spreads=True)
    told = RuntimeError(
        "Pipeline job-001 failed in state FAILED: bundle failed: Traceback (most recent call last):\n"
        '  File "lock.py", line 1, in open\ntransforms.errors.IndexLocked: another process writes this index: /index\n'
        "\nDuring handling of the above exception, another exception occurred:\n\nTraceback: RuntimeError"
    )

    class Ended:
        def wait_until_finish(self):
            raise told

    with pytest.raises(IndexLocked, match="another process writes this index: /index"):
        jobs.finished(Ended(), engine)


class _Graph(PipelineVisitor):
    """The DoFns of a built pipeline, and what goes into each shuffle."""

    def __init__(self) -> None:
        self.dofns: dict[str, beam.DoFn] = {}
        self.shuffled: dict[str, beam.PCollection] = {}

    def enter_composite_transform(self, node):
        self.visit_transform(node)

    def visit_transform(self, node):
        fn = getattr(node.transform, "fn", None)
        if isinstance(node.transform, beam.ParDo) and isinstance(fn, beam.DoFn):
            self.dofns[node.full_label] = fn
        if isinstance(node.transform, beam.GroupByKey | beam.Reshuffle):
            self.shuffled |= {f"{node.full_label} {number}": each for number, each in enumerate(node.inputs)}


def graph_of(pipeline: beam.Pipeline) -> _Graph:
    graph = _Graph()
    pipeline.visit(graph)
    return graph


UNPICKLED = """
import os, sys
from apache_beam.internal import pickler
pickler.set_library(sys.argv[1])
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        held = pickler.loads(file.read())
    if hasattr(held, "setup"):
        held.setup()
        held.start_bundle()
        list(held.finish_bundle() or ())
        held.teardown()
    print(type(held).__name__)
"""


@pytest.mark.parametrize("library", ["cloudpickle", "dill"])
def test_every_stage_travels_to_a_process_with_another_folder_and_another_home(library, tmp_path, monkeypatch):
    if library == "dill" and importlib.util.find_spec("dill") is None:
        pytest.skip("dill is not installed: Beam's other pickler comes with apache-beam[dill]")
    monkeypatch.setenv(API_KEY_VARIABLE, "open-sesame")
    (tmp_path / "sounds.toml").write_text(SOUNDS)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("sounds.toml")
    settings = IngestSettings(index="index")
    ours = IndexLocation.parse("index")
    refill = RefillFrom(ours, changes(recipe, recipe.changed(clip_seconds=2.0), held={}))
    work = [work_of(sound(tmp_path / f"{name}.wav")) for name in "ab"]
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    build(pipeline, work, settings, recipe, spreads=True, ends_at=1e12)
    refilling = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    build(refilling, work, settings, recipe, refill=refill, spreads=True)

    dofns = graph_of(pipeline).dofns
    names = {type(fn).__name__ for fn in dofns.values()}
    assert {"_SegmentVideos", "_EmbedSegments", "_WriteSegments", "_RecordRejects"} <= names
    apart = [fn for label, fn in graph_of(refilling).dofns.items() if "Embed" in label]
    held = [
        *dofns.values(),
        EncoderHandler(card("mfcc:statistics")),
        EncoderHandler(card("conse:tf_efficientnet_lite2")),
    ]
    pickler.set_library(library)
    try:
        pickles = [pickler.dumps(each) for each in held]
        assert pickler.dumps(apart[0])  # opens the index that it refills from: not set up here
    finally:
        pickler.set_library("default")
    paths = [tmp_path / f"{number}.pickle" for number in range(len(pickles))]
    for path, pickle in zip(paths, pickles, strict=True):
        assert b"open-sesame" not in pickle
        path.write_bytes(pickle)
    assert b"open-sesame" not in pipeline.to_runner_api().SerializeToString()

    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    elsewhere.mkdir()
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", UNPICKLED, library, *map(str, paths)],
        cwd=elsewhere,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [type(each).__name__ for each in held]
    assert not list(elsewhere.iterdir())  # nothing was looked for, or made, where the worker happens to run


class _Weigh(beam.DoFn):
    """Writes how many bytes each element is on the wire."""

    def __init__(self, coder, path: Path) -> None:
        self._coder, self._path = coder, path

    def process(self, element):
        with self._path.open("a") as file:
            file.write(f"{len(self._coder.encode(element))}\n")


def test_what_crosses_a_shuffle_is_small(tmp_path):
    """Minutes cut into segments of many clips, a video that says much of itself, and one that is nearly done."""
    overlapping = SOUNDS.replace("clip_seconds = 1.0", "clip_seconds = 1.0\noverlap_seconds = 0.5")
    (tmp_path / "sounds.toml").write_text(overlapping)
    recipe = load_recipe(str(tmp_path / "sounds.toml")).changed(segment_seconds=60.0)
    told = tuple((f"column {number}", "text " * 40) for number in range(50))  # 10 kB
    long, short = sound(tmp_path / "long.wav", seconds=180.0), sound(tmp_path / "short.wav")
    done = tuple((f"{number:064x}", number) for number in range(200))
    location = IndexLocation.parse(str(tmp_path / "index"))
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    with writing(location, command="ingest", wait=False) as turn:
        work = [
            Work(work_of(long, metadata=told).video, run=turn.number),
            Work(work_of(short).video, done=done, run=turn.number),
        ]
        build(pipeline, work, IngestSettings(index=str(location)), recipe, spreads=True)
        shuffled = graph_of(pipeline).shuffled
        assert any(label.startswith("Spread") for label in shuffled)
        for number, each in enumerate(shuffled.values()):
            coder = beam.coders.registry.get_coder(each.element_type)
            _ = each | f"Weigh {number}" >> beam.ParDo(_Weigh(coder, tmp_path / f"{number}.bytes"))
        pipeline.run()
    sizes = {
        label: [int(line) for line in (tmp_path / f"{number}.bytes").read_text().split()]
        for number, label in enumerate(shuffled)
    }
    assert all(sizes.values()) and sum(label.startswith("Spread") for label in sizes) >= 2
    assert max(len(found) for label, found in sizes.items() if label.startswith("Spread")) == 3 + 1
    assert max(max(found) for found in sizes.values()) < 100_000, {label: max(found) for label, found in sizes.items()}
