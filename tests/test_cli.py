"""The command line: exit codes, one document on standard output, one sentence where things go wrong."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from pipelines.cli import app, exit_code_of
from pipelines.cli_groups import grouped
from tests.small_index import the_index, the_recipe  # noqa: F401  (fixtures)
from transforms.errors import (
    BadVectors,
    DiskFull,
    IndexLocked,
    MissingIndex,
    MissingWeights,
    RecipeMismatch,
    StoreUnavailable,
    SwitchRefused,
    UsageError,
)
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.uris import uri_of_path

HERE = Path(__file__).parents[1]


def run(*args: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command in this process."""
    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.stdout, result.stderr


def start(*args: str, **options: Any) -> "subprocess.Popen[str]":
    """A command in a process of its own."""
    command = [sys.executable, "-m", "pipelines.cli", *args]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **options
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (MissingIndex("x"), 2),
        (MissingWeights("x"), 2),
        (RecipeMismatch("x"), 2),
        (StoreUnavailable("x"), 1),
        (DiskFull("x"), 1),
        (BadVectors("x"), 1),
        (IndexLocked("x"), 4),
        (SwitchRefused("x"), 3),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_each_family_of_errors_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


@pytest.mark.parametrize(
    "args", [("search", "--json", "espresso", "--by", "words"), ("search", "espresso", "--by", "words")]
)
def test_search_prints_its_hits_on_standard_output_alone(index: str, args: tuple[str, ...]) -> None:
    code, out, err = run(*args, "--index", index)
    assert (code, err) == (0, "")
    if "--json" in args:
        (hit,) = json.loads(out)
        assert (hit["video"], hit["by"], hit["start_seconds"]) == ("/films/kitchen %FF.mp4", "words", 8.0)
    else:
        assert "/films/kitchen %FF.mp4  0:08 - 0:16" in out
        assert "the espresso is ready" in out


def test_times_are_shown_as_a_player_shows_them_and_told_as_the_container_counts(index: str) -> None:
    assert "zoo.ts  0:08 - 0:16" in run("search", "Quimby", "--by", "words", "--index", index)[1]
    (hit,) = json.loads(run("search", "Quimby", "--by", "words", "--json", "--index", index)[1])
    assert hit["start_seconds"] == pytest.approx(70918.8)


def test_limit_and_the_environment_are_heard(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELVEC_INDEX", index)
    assert len(json.loads(run("search", "a cat", "--limit", "2", "--json")[1])) == 2


def test_nothing_found_is_an_empty_list_and_no_failure(index: str) -> None:
    code, out, _ = run("search", "xylophone", "--by", "words", "--json", "--index", index)
    assert (code, json.loads(out)) == (0, [])


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("search", ""), "empty"),
        (("search", "a cat", "--by", "audio"), "auto, frame, transcript"),
        (("search", "a cat", "--limit", "0"), "limit"),
        (("search",), "text"),
        (("evaluate", "none.tsv", "--media", "."), "none.tsv"),
        (("forget", "/films/never seen.mp4"), "never seen"),
        (("dlq", "replay", "/films/launch.mp4"), "launch.mp4"),
        (("no-such-command",), "no-such-command"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence_with_exit_code_2(index: str, args: tuple[str, ...], told: str) -> None:
    code, out, err = run(*args, *([] if args[0] == "no-such-command" else ["--index", index]))
    assert (code, out) == (2, "")
    assert told.lower() in err.lower()
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [("search", "a cat"), ("status",), ("dlq", "list"), ("forget", "x.mp4")])
def test_a_missing_index_is_wrong_usage_for_every_command(tmp_path: Path, command: tuple[str, ...]) -> None:
    code, out, err = run(*command, "--index", str(tmp_path / "nowhere"))
    assert (code, out) == (2, "")
    assert "nowhere" in err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "name the videos"),
        (("missing.mp4",), "missing.mp4"),
        ((".", "--recipe", "unheard"), "unheard"),
        ((".", "--manifest", "none.csv"), "none.csv"),
        ((".", "--clip", "soon"), "0:01:30"),
        ((".", "--clip", "0.2s"), "--clip"),
        ((".", "--prefetch", "99"), "--prefetch"),
        ((".", "--frames", "all"), "all"),
        ((".", "--index", "ftp://x/y"), "ftp"),
    ],
)
def test_an_ingest_that_cannot_be_carried_out_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("ingest", *args)
    assert (code, out) == (2, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where_an_error_comes_from_wherever_it_stands(tmp_path: Path) -> None:
    for args in (("--debug", "status"), ("status", "--debug")):
        code, _, err = run(*args, "--index", str(tmp_path / "nowhere"))
        assert code == 2
        assert "Traceback" in err


def test_status_tells_of_every_video_and_the_totals(index: str) -> None:
    code, out, _ = run("status", "--json", "--index", index)
    told = json.loads(out)
    assert code == 0
    assert told["totals"] == {"videos": 5, "clips": 4, "committed": 4, "rejected": 1}
    states = {video["video"]: video["state"] for video in told["videos"]}
    assert (states["/films/launch.mp4"], states["/films/broken.mp4"]) == ("committed", "rejected")
    shown = run("status", "--index", index)[1]
    assert "1:30.5" in shown
    assert "4 committed" in shown


def test_rejects_are_listed_with_their_reason(index: str) -> None:
    (reject,) = json.loads(run("dlq", "list", "--json", "--index", index)[1])
    assert (reject["video"], reject["error"]) == ("/films/broken.mp4", "UnreadableVideo")
    assert "it is cut off" in run("dlq", "list", "--index", index)[1]


@pytest.fixture(name="asked")
def a_table_of_questions(tmp_path: Path) -> list[str]:
    """`evaluate` with two questions, one of them about a file that is there and was not indexed."""
    (tmp_path / "new.mp4").touch()
    table = tmp_path / "queries.tsv"
    rocket = uri_of_path("/films/launch.mp4")
    rows = f"a rocket on the launch pad\tvisual\t{rocket}\t8\t16\nQuimby\tspeech\tnew.mp4\n"
    table.write_text(f"query\tmodality\trelevant\tstart_seconds\tend_seconds\n{rows}")
    return ["evaluate", str(table), "--media", str(tmp_path)]


def test_evaluate_prints_figures_by_way_of_searching_and_kind(index: str, asked: list[str]) -> None:
    code, out, err = run(*asked, "--by", "frame", "--json", "--index", index)
    figures = json.loads(out)
    assert code == 0
    assert list(figures) == ["frame"]
    assert list(figures["frame"]) == ["visual", "speech", "all"]
    assert figures["frame"]["all"]["recall@1"] == 0.5
    assert "1 right files are not in the index" in err
    shown = run(*asked, "--index", index)[1]
    assert [name in shown for name in ("auto", "transcript", "visual", "all")] == [True] * 4
    assert "against" in shown


def test_a_gate_that_is_not_met_exits_with_3_and_says_which(index: str, asked: list[str], tmp_path: Path) -> None:
    assert run(*asked, "--gate", "auto.visual.recall@1>=1", "--index", index)[0] == 0
    gates = ["--gate", "recall@5>=0.9", "--gate", "visual.span_hit>=0.9", "--html", str(tmp_path / "report.html")]
    code, out, err = run(*asked, *gates, "--json", "--index", index)
    assert (code, json.loads(out)["auto"]["all"]["recall@5"]) == (3, 0.5)
    assert "gate NOT met: auto.all.recall@5 >= 0.9: it is 0.5, 95 % interval 0 to 1" in err
    assert "gate met: auto.visual.span_hit" in err
    assert "NOT met" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--gate", "recall@3>=0.5"), "recall@1, recall@5, recall@10"),
        (("--gate", "speech.span_hit>=0.5"), "no value"),
        (("--gate", "audio.recall@5>=0.5"), "not measured"),
        (("--by", "audio"), "cannot be searched by 'audio'"),
        (("--duplicates", "none.tsv"), "none.tsv"),
        (("--html", "nowhere/report.html"), "nowhere/report.html"),
    ],
)
def test_an_evaluation_that_cannot_be_made_is_wrong_usage(
    index: str, asked: list[str], options: tuple[str, ...], told: str
) -> None:
    code, out, err = run(*asked, *options, "--index", index)
    assert (code, out) == (2, "")
    assert told in err


def test_a_right_file_that_exists_nowhere_is_wrong_usage(index: str, asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "new.mp4").unlink()
    code, out, err = run(*asked, "--index", index)
    assert (code, out) == (2, "")
    assert "line 3" in err and "new.mp4 does not exist" in err


def test_a_report_on_modalities_is_printed_and_written(index: str, asked: list[str], tmp_path: Path) -> None:
    page = tmp_path / "modalities.html"
    code, out, err = run("report", "modalities", "--json", "--html", str(page), "--index", index)
    told = json.loads(out)
    assert (code, told["clips"], told["questions"]) == (0, 4, None)
    assert "carried by no sampled clip: ocr" in err
    assert "<svg" in page.read_text()
    _, table, media, folder = asked
    code, out, _ = run("report", "modalities", "--queries", table, media, folder, "--index", index)
    assert code == 0
    assert "2 questions" in out and "too few to fit" in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--queries", "none.tsv"), "need --media"),
        (("--media", "."), "need --media"),
        (("--queries", "none.tsv", "--media", "."), "none.tsv"),
        (("--sample", "0"), "sample"),
        (("--html", "nowhere/report.html"), "nowhere/report.html"),
    ],
)
def test_a_report_that_cannot_be_made_is_wrong_usage(index: str, options: tuple[str, ...], told: str) -> None:
    code, out, err = run("report", "modalities", *options, "--index", index)
    assert (code, out) == (2, "")
    assert told in err


def test_doctor_says_what_is_here_and_whether_that_is_enough(tmp_path: Path) -> None:
    code, out, _ = run("doctor", "--json", "--index", str(tmp_path / "x"))
    told = json.loads(out)
    checks = {check["name"]: check for check in told["checks"]}
    assert {"python", "ffmpeg", "torch", "qdrant-edge-py", "apache-beam", "sandbox", "disk", "cuda"} <= checks.keys()
    assert any(name.startswith("weights of") for name in checks)
    assert checks["python"]["found"] == ".".join(map(str, sys.version_info[:3]))
    assert all(check["cure"] for check in checks.values() if not check["ok"])
    assert told["ok"] == all(check["ok"] for check in checks.values() if check["needed"])
    assert code == (0 if told["ok"] else 1)


def test_version_and_help_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from pipelines.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'apache_beam', 'numpy', 'qdrant_edge'} & set(sys.modules)\n"
        "    print(sorted(heavy), file=sys.stderr)"
    )
    for option in ("--help", "--version"):
        asked = subprocess.run(
            [sys.executable, "-c", code, option], cwd=HERE, capture_output=True, text=True, check=True
        )
        assert asked.stderr.strip() == "[]"
        assert "reelvec" in asked.stdout.lower()


def test_an_empty_folder_is_no_failure_and_json_is_one_document(tmp_path: Path) -> None:
    corpus = tmp_path / "-odd na\nme"
    corpus.mkdir()
    process = start("ingest", "--json", "--index", str(tmp_path / "index"), f"./{corpus.name}", cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["videos_found"] == 0
    assert {"videos_indexed", "videos_unchanged", "videos_moved", "videos_deferred", "videos_rejected"} <= told.keys()


def test_rejects_fail_a_run_only_when_asked_and_are_tried_again_on_demand(tmp_path: Path) -> None:
    broken, index = tmp_path / "broken.mp4", str(tmp_path / "index")
    broken.write_text("no film at all\n")
    code, out, err = run("ingest", str(tmp_path), "--index", index, "--json")
    told = json.loads(out)
    assert (code, told["videos_found"], told["videos_rejected"]) == (0, 1, 1), err
    assert run("ingest", str(tmp_path), "--index", index, "--fail-on-reject")[0] == 3
    (reject,) = json.loads(run("dlq", "list", "--json", "--index", index)[1])
    assert reject["uri"] == uri_of_path(broken)
    code, out, _ = run("dlq", "replay", "--json", "--fail-on-reject", "--index", index)
    assert (code, json.loads(out)["videos_rejected"]) == (3, 1)
    broken.unlink()
    assert run("dlq", "replay", "--json", "--index", index)[0] == 0


def test_an_index_that_another_process_writes_is_left_alone_and_the_writer_named(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    location = IndexLocation.parse(str(tmp_path / "index"))
    with writing(location, command="a long ingest", wait=False):
        process = start("ingest", str(corpus), "--index", str(location))
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (4, "")
    assert f"pid {os.getpid()}" in err
    assert "a long ingest" in err


def test_a_reader_that_goes_away_is_no_traceback(index: str) -> None:
    process = start("search", "a cat", "--json", "--index", index)
    assert process.stdout and process.stderr
    process.stdout.close()
    err = process.stderr.read()
    process.wait(timeout=120)
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_once_to_finish_and_ends_at_once_the_second_time(number: signal.Signals) -> None:
    code = (
        "import os, signal, time\n"
        "from pipelines.cli_ingest import stopping_in_order\n"
        "from transforms import interrupt\n"
        "with stopping_in_order():\n"
        "    print('ready', interrupt.requested(), flush=True)\n"
        "    while not interrupt.requested():\n"
        "        time.sleep(0.01)\n"
        "    print('asked', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=HERE, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    assert process.stdout.readline() == "ready False\n"
    process.send_signal(number)
    assert process.stdout.readline() == "asked\n"
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    assert "press Ctrl-C again" in process.stderr.read()


@dataclass(frozen=True)
class _Sizes:
    """Two options that belong together."""

    width: Annotated[int, typer.Option(help="In pixels.")] = 4
    height: Annotated[int, typer.Option()] = 3


def test_a_group_of_options_is_shown_one_by_one_and_taken_as_one() -> None:
    seen: list[tuple[str, _Sizes]] = []

    def command(name: str, *, size: _Sizes) -> None:
        """Draw."""
        seen.append((name, size))

    made = typer.Typer()
    made.command()(grouped(command))
    assert "In pixels." in CliRunner().invoke(made, ["--help"]).output
    assert CliRunner().invoke(made, ["box", "--height", "7"]).exit_code == 0
    assert seen == [("box", _Sizes(4, 7))]


def test_two_options_of_one_name_are_refused_when_a_command_is_made() -> None:
    def command(width: int = 1, *, size: _Sizes) -> None:
        """Two widths."""

    with pytest.raises(ValueError, match="width"):
        grouped(command)
