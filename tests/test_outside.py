"""What a run tells those who look on: measures with units, Prometheus, JSON logs, the report of where time went."""

import json
import logging
import os
import re
import shutil
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli_options import OK, OUTAGE, USAGE
from pipelines.log_json import JsonLines, without_secrets
from pipelines.report_run import run_page
from pipelines.run_log import past_lines
from pipelines.tally import RunTally, Tally, counted_elsewhere
from pipelines.watch import watch
from tests.test_ingest import Box, render
from transforms import measures
from transforms.beam_measures import report_to_beam, totals_of
from transforms.measures import MEASURES

prometheus = pytest.importorskip("prometheus_client", reason="prometheus-client is not installed: reelvec[metrics]")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Box, Path, "list[dict[str, object]]"]:
    """One run over a good and a broken video by a recipe of sound alone; its files, and its log line by line."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "sound.toml").write_text('name = "sound"\n[sound]\nencoder = "mfcc:statistics"\n')
    box = Box(folder)
    render(box.corpus / "tone.mp4")
    (box.corpus / "broken.mp4").write_bytes(b"\x00" * 4096)
    told = invoke(
        *("ingest", box.corpus, "--index", box.index, "--recipe", folder / "sound.toml", "--log-format", "json"),
        *("--metrics-file", folder / "reelvec.prom", "--report", folder / "run.html"),
    )
    assert told.exit_code == OK, told.stderr
    return box, folder, [json.loads(line) for line in told.stderr.splitlines()]


def invoke(*args: object):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, [str(arg) for arg in args])


def series(text: str) -> dict[str, float]:
    """Samples by name and labels, without those that are the same for a whole run."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', name)
            own = "".join(f"{{{held}}}" for label, held in labels if label not in ("index", "command"))
            found[name.partition("{")[0] + own] = float(value)
    return found


def test_every_name_ends_in_its_unit_and_is_exported_in_base_units() -> None:
    assert len({one.name for one in MEASURES}) == len(MEASURES) >= 25
    for one in MEASURES:
        assert one.unit in ("count", "msec", "percent", "seconds") and one.help.endswith(".")
        assert "msec" not in one.exported and "percent" not in one.exported
        assert one.exported.endswith("_total") is (one.kind == "counter")
    names = [name for one in MEASURES for name in one.series]
    assert len(set(names)) == len(names)


def test_a_run_says_what_it_did_in_prometheus_form(ran) -> None:  # type: ignore[no-untyped-def]
    box, folder, _ = ran
    told = series((folder / "reelvec.prom").read_text())
    assert told["reelvec_runs_total{ok}"] == 1 and told["reelvec_runs_going"] == 0
    assert told["reelvec_clips_written_total"] == len(box.points()) == 1
    assert told["reelvec_videos_settled_total{committed}"] == told["reelvec_videos_settled_total{rejected}"] == 1
    assert told["reelvec_rejects_total{NoMedia}"] == 1
    assert told["reelvec_video_written_seconds_total"] == pytest.approx(2.0, abs=0.1)
    assert 0 < told["reelvec_decode_seconds_sum"] < 60 and told["reelvec_decode_seconds_count"] == 1
    assert told["reelvec_encode_seconds_sum{sound}"] > 0 and 0 < told["reelvec_batch_fill_ratio_sum"] <= 1
    assert told["reelvec_last_ok_run_ended_timestamp_seconds"] == told["reelvec_last_run_ended_timestamp_seconds"]
    defined = {name for one in MEASURES for name in one.series}
    assert {name.partition("{")[0] for name in told} <= defined


def test_logs_name_the_video_and_the_segment(ran) -> None:  # type: ignore[no-untyped-def]
    box, _, logged = ran
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in logged)
    (stored,) = [line for line in logged if line.get("event") == "segment_stored"]
    assert stored["video"] == (box.corpus / "tone.mp4").as_uri() and (stored["segment"], stored["clips"]) == (0, 1)
    settled = {line["video"].rpartition("/")[2]: line for line in logged if line.get("event") == "video_settled"}
    assert settled["tone.mp4"]["state"] == "committed" and settled["tone.mp4"]["content"] == stored["content"]
    assert settled["broken.mp4"]["state"] == "rejected" and settled["broken.mp4"]["causes"] == ["NoMedia"]


def test_the_report_says_where_the_time_went_and_a_past_run_has_one_too(ran) -> None:  # type: ignore[no-untyped-def]
    box, folder, _ = ran
    page = (folder / "run.html").read_text()
    for word in ("embedding", "publishing", "encoding: sound", "NoMedia", "tone.mp4", "<svg"):
        assert word in page, word
    assert not re.search(r"""(src|href)=["'](?!#)|<script|@import|url\((?!#)""", page)  # nothing from elsewhere
    again = invoke("report", "run", "--index", box.index, "--html", folder / "again.html", "--json")
    assert again.exit_code == OK and json.loads(again.stdout)["measured"]["clips_written_count"] == 1
    assert "encoding: sound" in (folder / "again.html").read_text()
    assert invoke("report", "run", "--index", box.index, "--back", 2).exit_code == USAGE
    assert invoke("report", "run", "--index", folder / "nothing").exit_code == USAGE


def test_a_run_that_was_logged_without_its_times_is_said_to_be_so(ran, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    box, _, _ = ran
    (line,) = past_lines(box.location)
    (tmp_path / "i").mkdir()
    old = {key: value for key, value in line.items() if key != "measured"}
    (tmp_path / "i/runs.jsonl").write_text(json.dumps(old) + "\nnot a line\n")
    told = invoke("report", "run", "--index", tmp_path / "i", "--html", tmp_path / "r.html")
    assert told.exit_code == USAGE and "did not note where time went" in told.stderr
    assert not (tmp_path / "r.html").exists()


def test_a_hostile_name_does_nothing_in_a_report(ran) -> None:  # type: ignore[no-untyped-def]
    box, _, _ = ran
    (line,) = past_lines(box.location)
    line["slowest"] = [{"uri": "file:///%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE.mp4", "decode": 1.0}]
    line["error"] = "<img src=x onerror=alert(1)>"
    page = run_page(line, index="<b>")
    assert "<script" not in page and "<img" not in page and "\u202e" not in page


def test_a_failed_run_leaves_metrics_that_say_so_and_when_one_went_well(ran, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    box, folder, _ = ran
    before = series((folder / "reelvec.prom").read_text())["reelvec_last_ok_run_ended_timestamp_seconds"]
    (empty := tmp_path / "corpus").mkdir()
    box.corpus.rename(tmp_path / "aside")
    try:
        empty.rename(box.corpus)
        told = invoke("reindex", box.corpus, "--index", box.index, "--metrics-file", tmp_path / "m.prom")
        assert told.exit_code == OUTAGE
    finally:
        box.corpus.rmdir()
        (tmp_path / "aside").rename(box.corpus)
    after = series((tmp_path / "m.prom").read_text())
    assert after["reelvec_runs_total{outage}"] == 1 and after["reelvec_runs_total{ok}"] == 0
    assert after["reelvec_last_ok_run_ended_timestamp_seconds"] == before


def test_a_port_answers_while_the_command_runs_and_counts_over_rounds(ran) -> None:  # type: ignore[no-untyped-def]
    from pipelines.cli_ingest import settings_of
    from pipelines.prometheus import Exported, served

    box, _, _ = ran
    exported = Exported(index="i", command="watch")
    settings = settings_of({"sources": (str(box.corpus),), "index": str(box.index), "command": "watch"})
    with measures.heard_by(exported), served(exported, "127.0.0.1:0") as port:
        for _round in watch(settings, every_seconds=0.01, settle_seconds=0.0, rounds=2, stop=threading.Event()):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                told = series(answer.read().decode())
    assert told["reelvec_runs_total{ok}"] == 2 and told["reelvec_videos_planned_total{unchanged}"] == 2
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--metrics-port", "none"), "[HOST:]PORT"),
        (("--metrics-port", "99999"), "[HOST:]PORT"),
        (("--metrics-port", "256.1.1.1:0"), "--metrics-port"),
        (("--metrics-file", "m.txt"), ".prom"),
        (("--metrics-file", "/nowhere/m.prom"), "folder that exists"),
        (("--report", "/nowhere/run.html"), "folder that exists"),
        (("--log-format", "xml"), "text or json"),
    ],
)
def test_what_cannot_be_seen_is_said_before_anything_starts(tmp_path: Path, option: tuple[str, str], says: str) -> None:
    told = invoke("ingest", tmp_path, "--index", tmp_path / "i", *option)
    assert told.exit_code == USAGE and says in told.stderr and not (tmp_path / "i").exists()


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    from pipelines.prometheus import Exported, served

    with served(Exported(index="i", command="c"), "127.0.0.1:0") as port:
        told = invoke("ingest", tmp_path, "--index", tmp_path / "i", "--metrics-port", port)
    assert told.exit_code == USAGE and f"127.0.0.1:{port}" in told.stderr


def test_no_secret_reaches_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", 'correct "horse" battery')
    record = logging.LogRecord("reelvec", logging.INFO, "f", 1, "key %s", ('correct "horse" battery',), None)
    record.video = "https://me:hunter22@host/a.mp4?X-Amz-Signature=abcdef&part=1&token=t0psecret"
    line = JsonLines().format(record)
    assert json.loads(line)["message"] == "key ***" and "part=1" in line
    for secret in ("horse", "hunter22", "abcdef", "t0psecret"):
        assert secret not in line
    assert without_secrets("file:///films/key.mp4?x") == "file:///films/key.mp4?x"


def test_an_error_in_json_mode_is_a_record_too(tmp_path: Path) -> None:
    told = invoke("ingest", tmp_path / "none", "--index", tmp_path / "i", "--log-format", "json")
    (line,) = [json.loads(line) for line in told.stderr.splitlines()]
    assert told.exit_code == USAGE and line["level"] == "error" and "none" in line["message"]
    assert not invoke("plan", tmp_path / "none", "--index", tmp_path / "i").stderr.startswith("{")


def test_workers_in_other_processes_are_counted_through_beam() -> None:
    launcher = os.getpid()

    class Work(beam.DoFn):
        def process(self, number: int) -> Iterator[int]:
            assert os.getpid() != launcher
            measures.count(measures.CLIPS_WRITTEN, number)
            measures.observe(measures.ENCODING, 10.0 * number, of="frames")
            yield number

        def finish_bundle(self) -> None:
            report_to_beam()

    tally = RunTally()
    options = ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=1"]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    pipeline | beam.Create([1, 2, 3]) | beam.ParDo(Work())
    measures.count(measures.CLIPS_WRITTEN, 100)  # before the run, so none of its counters
    measures.hand_over()
    with measures.heard_by(tally):
        result = pipeline.run()
        with counted_elsewhere(result):
            result.wait_until_finish()
    assert totals_of(result)[measures.CLIPS_WRITTEN, ""].sum == 6
    own = tally.told()["measured"]
    assert own["clips_written_count"] == 6
    assert own["encode_msec-frames"] == {"sum": 60.0, "count": 3, "max": 30.0}


@pytest.mark.skipif(not shutil.which("prism"), reason="prism is not on PATH: `make prism` builds it where Go is")
def test_a_job_that_was_asked_while_it_ran_is_asked_again_at_its_end() -> None:
    class Slow(beam.DoFn):
        def process(self, number: int) -> Iterator[int]:
            time.sleep(0.5)
            measures.count(measures.CLIPS_WRITTEN, number)
            report_to_beam()
            yield number

    options = ["--runner=PrismRunner", f"--prism_location={shutil.which('prism')}", "--environment_type=LOOPBACK"]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    pipeline | beam.Create([1, 2, 3]) | beam.ParDo(Slow())
    measures.hand_over()
    result = pipeline.run()
    totals_of(result)
    result.wait_until_finish()
    assert totals_of(result)[measures.CLIPS_WRITTEN, ""].sum == 6


def test_what_comes_from_workers_counts_once_in_place_of_what_the_launcher_hears() -> None:
    tally = Tally()
    with measures.heard_by(tally):
        measures.count(measures.LISTED, 5)
        elsewhere = {(measures.CLIPS_WRITTEN, ""): measures.Total(7, 1)}
        tally.elsewhere({})
        measures.count(measures.CLIPS_WRITTEN, 7)  # a worker in this very process, which Beam tells of
        tally.elsewhere(elsewhere)
        assert tally.totals()[measures.CLIPS_WRITTEN, ""].sum == 7
        tally.elsewhere(None)
        measures.count(measures.CLIPS_WRITTEN, 1)
    assert {measure.name: total.sum for (measure, _), total in tally.totals().items()} == {
        "videos_listed_count": 5,
        "clips_written_count": 8,
    }


def test_a_time_line_keeps_its_length_however_long_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tally, clock = RunTally(), [0.0]
    monkeypatch.setattr("pipelines.tally.time.monotonic", lambda: tally._began + clock[0])
    for second in range(1, 20_001, 50):
        clock[0] = float(second)
        tally.hear(measures.DECODING, 500.0, "", f"file:///{second}.mp4")
    told = tally.told()
    (steps,) = told["busy_msec"].values()
    assert len(steps) <= 60 and len(steps) * told["step_seconds"] >= 19_951
    assert sum(steps) == pytest.approx(400 * 500, rel=0.01) and len(told["slowest"]) == 10
    assert len(json.dumps(told)) < 4000


def test_a_process_that_never_ends_a_bundle_keeps_no_more_than_so_many_values() -> None:
    tally = Tally()
    measures.hand_over()
    with measures.heard_by(tally):
        for _ in range(20_000):
            measures.observe(measures.FUSING, 1.0)
    assert tally.totals()[measures.FUSING, ""].count == 20_000
    assert len(measures.hand_over()[1]) == 10_000


def test_the_command_serves_metrics_at_the_port_that_it_names(tmp_path: Path) -> None:
    told = invoke("ingest", tmp_path, "--index", tmp_path / "i", "--metrics-port", "0")
    assert told.exit_code == OK and re.search(r"http://127\.0\.0\.1:[1-9]\d+/metrics", told.stderr), told.stderr
