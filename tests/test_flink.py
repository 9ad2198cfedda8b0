"""Flink's manifests and scripts, as far as they go without a cluster; with a job server's jar also a run."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipelines.engines import FLINK_JAR_VARIABLE, beam_options

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy/flink"
MANIFESTS = ("session", "stream")

#: What the operator's definition of FlinkDeployment v1beta1 (release of July 2026) lets a manifest of ours say.
SPEC = {"image", "flinkVersion", "mode", "serviceAccount", "flinkConfiguration", "jobManager", "taskManager", "job"}
MANAGER = {"replicas", "resource", "podTemplate"}
JOB = {"jarURI", "entryClass", "args", "parallelism", "state", "upgradeMode", "allowNonRestoredState"}


def manifest(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_deployment_has_the_fields_that_the_operator_knows_and_no_other(name):
    """The definition itself is in no registry reached here: this is a check of structure, not of the schema."""
    document = manifest(name)
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert (document["apiVersion"], document["kind"]) == ("flink.apache.org/v1beta1", "FlinkDeployment")
    spec = document["spec"]
    assert set(spec) <= SPEC
    assert (spec["flinkVersion"], spec["mode"]) == ("v2_2", "native")
    assert all(isinstance(value, str) for value in spec["flinkConfiguration"].values())
    for manager in ("jobManager", "taskManager"):
        assert set(spec[manager]) <= MANAGER
        assert set(spec[manager]["resource"]) == {"cpu", "memory"}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_task_manager_has_one_worker_pool_with_one_gpu_beside_it(name):
    spec = manifest(name)["spec"]
    pod = spec["taskManager"]["podTemplate"]
    flink, pool = pod["spec"]["containers"]
    assert flink == {"name": "flink-main-container"}  # the operator fills it
    assert pool["resources"]["limits"]["nvidia.com/gpu"] == pool["resources"]["requests"]["nvidia.com/gpu"] == "1"
    assert spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] == "1"
    assert pool["command"][:3] == ["python", "-m", "apache_beam.runners.worker.worker_pool_main"]
    (key,) = pool["env"]
    assert key["name"] == "QDRANT_API_KEY" and "value" not in key and key["valueFrom"]["secretKeyRef"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_pods_are_what_kubernetes_takes(name):
    pod = manifest(name)["spec"]["taskManager"]["podTemplate"]
    pod["spec"]["containers"][0]["image"] = "flink:2.2"
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(pod, version, strict=True)
    pod["spec"]["containers"][1]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, version, strict=True)


def test_a_stream_survives_restarts_and_is_upgraded_by_savepoint():
    session, stream = manifest("session")["spec"], manifest("stream")["spec"]
    assert session["taskManager"] == stream["taskManager"] and "job" not in session
    assert set(stream["job"]) <= JOB
    assert (stream["job"]["upgradeMode"], stream["job"]["state"]) == ("savepoint", "running")
    settings = stream["flinkConfiguration"]
    for folder in (
        "execution.checkpointing.dir",
        "execution.checkpointing.savepoint-dir",
        "high-availability.storageDir",
    ):
        assert settings[folder].startswith("s3://")
    assert settings["execution.checkpointing.interval"] and settings["restart-strategy.type"] == "exponential-delay"
    assert session["flinkConfiguration"].items() <= settings.items()


def test_the_options_that_the_readme_names_are_known(monkeypatch):
    monkeypatch.delenv(FLINK_JAR_VARIABLE, raising=False)
    said = (DEPLOY / "README.md").read_text().replace("`", " ").replace("\\\n", " ").split()
    options = [word.strip(",.;()") for word in said if word.startswith("--") and "_" in word]
    assert len(options) >= 6
    endpoint = [] if any(option.startswith("--job_endpoint=") for option in options) else ["--job_endpoint=host:8099"]
    beam_options("flink", [*endpoint, *(option for option in options if "=" in option)])


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("job_server.sh", (), FLINK_JAR_VARIABLE),
        ("cluster.sh", ("start",), "FLINK_HOME"),
        ("worker_pool.sh", (), "make setup"),
    ],
)
def test_a_script_says_what_it_lacks(script, arguments, said, tmp_path):
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(tmp_path / "python"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["bash", str(DEPLOY / script), *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1 and said in done.stderr


def test_the_smoke_test_runs_or_says_why_not():
    done = subprocess.run(["bash", str(DEPLOY / "smoke.sh")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if os.environ.get(FLINK_JAR_VARIABLE) and shutil.which("java"):
        assert "flink-smoke: passed" in done.stdout
    else:
        assert "flink-smoke: skipped: " in done.stdout
