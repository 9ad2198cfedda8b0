"""The files of deploy/schedule: each calls a command line that exists, and says what its scheduler has to know."""

import ast
import base64
import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from pipelines.cli import app

SCHEDULE = Path(__file__).parents[1] / "deploy/schedule"
UNITS = sorted((SCHEDULE / "systemd").iterdir())
CRON = SCHEDULE / "cron/reelvec.cron"
DAG = SCHEDULE / "airflow/reelvec_reindex.py"
MAX_SECONDS = 6 * 3600
BUDGET = ["--max-hours", "6", "--max-videos", "10000", "--order", "newest"]


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((SCHEDULE / "systemd" / name).read_text())
    return parser


def cronjob() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((SCHEDULE / "kubernetes/cronjob.yaml").read_text())
    return document


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def cron_fields_and_command() -> tuple[list[str], str, str]:
    """The five fields, the user and the command of the one line that is neither a comment nor a variable."""
    (line,) = [
        line
        for line in CRON.read_text().splitlines()
        if line and not line.startswith("#") and not re.match(r"\w+=", line)
    ]
    *fields, user, command = line.split(None, 6)
    return fields, user, command


def dag_command() -> str:
    """The bash_command of the DAG, read from its text."""
    tree = ast.parse(DAG.read_text())
    hours = next(node for node in tree.body if isinstance(node, ast.Assign))
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node) == "BashOperator"]
    (text,) = [keyword.value for keyword in call.keywords if keyword.arg == "bash_command"]
    command = eval(compile(ast.Expression(text), str(DAG), "eval"), {"MAX_HOURS": ast.literal_eval(hours.value)})
    assert isinstance(command, str)
    return command


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def launched() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SCHEDULE / "cloud-scheduler/launch.json").read_text())
    return document["launchParameter"]  # type: ignore[no-any-return]


def command_lines() -> dict[str, list[str]]:
    """Every `reelvec ...` of the files, as the words that follow the program."""
    lines = {}
    for path in (path for path in UNITS if "reelvec-failed" not in path.name and path.suffix == ".service"):
        lines[path.name] = shlex.split(unit(path.name)["Service"]["ExecStart"])
    lines["reelvec.cron"] = shlex.split(re.search(r"reelvec reindex .*? 2>&1", CRON.read_text())[0])[:-1]  # type: ignore[index]
    (container,) = pod()["containers"]
    lines["cronjob.yaml"] = [*container["command"], *container["args"]]
    lines["reelvec_reindex.py"] = shlex.split(dag_command().removeprefix("exec "))
    parameters = dict(launched()["parameters"])
    corpus = parameters.pop("corpus")
    options = [word for name, value in parameters.items() for word in (f"--{name}", value)]
    lines["launch.json"] = ["reelvec", "reindex", corpus, *options]
    assert all(Path(words[0]).name == "reelvec" for words in lines.values())
    for page in (SCHEDULE / "README.md", SCHEDULE.parents[1] / "docs/operations.md"):
        for number, line in enumerate(
            re.findall(r"^(reelvec (?:reindex|watch) .*?)(?:  #.*)?$", page.read_text(), re.M)
        ):
            lines[f"{page.name}:{number}"] = shlex.split(line)
    return {name: words[1:] for name, words in lines.items()}


@pytest.mark.parametrize("name", command_lines())
def test_every_command_line_is_one_of_the_program(name: str) -> None:
    command, *args = command_lines()[name]
    with typer.main.get_command(app).commands[command].make_context(command, args) as parsed:
        assert parsed.params["index"]


def test_each_scheduler_runs_the_same_reindex_within_the_same_budget() -> None:
    lines = [words for words in command_lines().values() if words[0] == "reindex" and words[-6:] == BUDGET]
    assert len(lines) >= 5
    files = {name for name, words in command_lines().items() if words[0] == "reindex"}
    assert {"reelvec-reindex.service", "reelvec.cron", "cronjob.yaml", "reelvec_reindex.py", "launch.json"} <= files


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = shutil.which("true")
    for path in UNITS:
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/local/bin/reelvec", str(program)))
    command = ["systemd-analyze", "verify", *(str(tmp_path / path.name) for path in UNITS if "@" not in path.name)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    )
    ours = [line for line in done.stderr.splitlines() if "reelvec" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("name", ["reelvec-reindex.service", "reelvec-watch.service"])
def test_a_service_may_do_no_more_than_it_needs(name: str) -> None:
    service = unit(name)["Service"]
    wanted = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "PrivateTmp": "yes", "ProtectHome": "yes"}
    assert wanted.items() <= dict(service).items()
    assert service["User"] != "root" and service["MemoryMax"] and service["Nice"] == "10"
    assert service["KillMode"] == "mixed"  # a decoder that is told to end would look like one that crashed
    assert unit(name)["Unit"]["OnFailure"] == "reelvec-failed@%n.service"
    assert (SCHEDULE / "systemd/reelvec-failed@.service").is_file()


def test_a_run_of_systemd_has_more_time_than_its_budget_and_another_run_is_no_failure() -> None:
    service = unit("reelvec-reindex.service")["Service"]
    assert int(service["TimeoutStartSec"].removesuffix("h")) * 3600 > MAX_SECONDS
    assert set(service["SuccessExitStatus"].split()) == {"4", "130"}
    timer = unit("reelvec-reindex.timer")["Timer"]
    assert timer["Persistent"] == "true" and timer["OnCalendar"] == "*-*-* 01:30:00"


def test_the_cron_line_has_a_time_and_a_user() -> None:
    fields, user, command = cron_fields_and_command()
    for field, most in zip(fields, (59, 23, 31, 12, 7), strict=True):
        assert field == "*" or int(field) <= most
    assert user == "reelvec" and "%" not in command  # cron ends the command at a percent sign


@pytest.mark.parametrize(("code", "mailed"), [(0, False), (4, False), (1, True), (2, True)])
def test_cron_mails_failures_and_not_that_another_run_was_there(tmp_path: Path, code: int, mailed: bool) -> None:
    for name, text in (("reelvec", f"echo reindex said; exit {code}"), ("logger", 'cat >"$(dirname "$0")/logged"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    command = cron_fields_and_command()[2]
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert (str(code) in done.stdout) is mailed and (done.stdout == "") is not mailed
    assert (tmp_path / "logged").read_text() == "reindex said\n"


def test_kubernetes_accepts_the_cronjob() -> None:
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(cronjob(), version, strict=True)
    wrong = cronjob()
    wrong["spec"]["concurencyPolicy"] = wrong["spec"].pop("concurrencyPolicy")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_the_cronjob_never_runs_twice_and_has_more_time_than_its_budget() -> None:
    spec = cronjob()["spec"]
    job = spec["jobTemplate"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid" and spec["startingDeadlineSeconds"] > 100
    assert job["activeDeadlineSeconds"] > MAX_SECONDS and job["backoffLimit"] >= 1
    actions = {tuple(rule["onExitCodes"]["values"]): rule["action"] for rule in job["podFailurePolicy"]["rules"]}
    assert actions == {(2,): "FailJob", (4,): "Ignore"} and pod()["restartPolicy"] == "Never"


def test_the_pod_is_nobody_and_writes_where_it_must() -> None:
    (container,) = pod()["containers"]
    security = container["securityContext"]
    assert pod()["securityContext"]["runAsNonRoot"] and not pod()["automountServiceAccountToken"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= set(container["resources"]["requests"]) & set(container["resources"]["limits"])
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {"/media": True, "/state": False, "/cache": False, "/tmp": False}
    assert {volume["name"] for volume in pod()["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}


def test_no_file_holds_a_secret() -> None:
    (container,) = pod()["containers"]
    (key,) = [entry for entry in container["env"] if entry["name"] == "QDRANT_API_KEY"]
    assert "value" not in key and key["valueFrom"]["secretKeyRef"] == {"name": "qdrant", "key": "api-key"}
    written_down = re.compile(r"(API_KEY|password|token)\s*[:=]\s*['\"]?[A-Za-z0-9]{8}", re.IGNORECASE)
    files = [path for path in SCHEDULE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert len(files) >= 9 and [path for path in files if written_down.search(path.read_text())] == []


def test_the_dag_says_what_airflow_has_to_know() -> None:
    tree = ast.parse(DAG.read_text())
    calls = {name_of(node): node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node)}
    dag = {keyword.arg: keyword.value for keyword in calls["DAG"].keywords}
    assert ast.literal_eval(dag["max_active_runs"]) == 1 and ast.literal_eval(dag["catchup"]) is False
    task = {keyword.arg: keyword.value for keyword in calls["BashOperator"].keywords}
    assert ast.literal_eval(task["skip_on_exit_code"]) == 4


@pytest.mark.skipif(
    "REELVEC_TEST_AIRFLOW_PYTHON" not in os.environ,
    reason="REELVEC_TEST_AIRFLOW_PYTHON is not set: it names the Python of an environment with apache-airflow 3",
)
def test_airflow_loads_the_dag(tmp_path: Path) -> None:
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import reelvec_reindex\n"
        "dag = reelvec_reindex.dag\n"
        "(task,) = dag.tasks\n"
        "print('found:' + json.dumps([dag.dag_id, dag.max_active_runs, dag.catchup, task.retries,"
        " task.retry_exponential_backoff, list(task.skip_on_exit_code), task.execution_timeout.total_seconds(),"
        " task.bash_command]))\n"
    )
    done = subprocess.run(
        [os.environ["REELVEC_TEST_AIRFLOW_PYTHON"], "-c", code, str(DAG.parent)],
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(tmp_path),
            "HOME": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    *told, command = json.loads(done.stdout.rpartition("found:")[2])
    assert told[:4] == ["reelvec_reindex", 1, False, 3] and told[4] and told[5] == [4] and told[6] > MAX_SECONDS
    assert command == dag_command()


def test_the_job_of_cloud_scheduler_sends_the_launch_that_lies_beside_it() -> None:
    job = yaml.safe_load((SCHEDULE / "cloud-scheduler/job.yaml").read_text())
    target = job["httpTarget"]
    assert base64.b64decode(target["body"], validate=True) == (SCHEDULE / "cloud-scheduler/launch.json").read_bytes()
    assert target["uri"].startswith("https://dataflow.googleapis.com/") and target["uri"].endswith(
        "flexTemplates:launch"
    )
    assert set(target["oauthToken"]) == {"serviceAccountEmail", "scope"} and target["httpMethod"] == "POST"
    assert len(job["schedule"].split()) == 5
