"""The files of deploy/docker, deploy/kubernetes and deploy/grafana: they hold, and they speak of what there is."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from pipelines.cli import app
from transforms.measures import MEASURES

ROOT = Path(__file__).parents[1]
DOCKER, KUBERNETES, GRAFANA = ROOT / "deploy/docker", ROOT / "deploy/kubernetes", ROOT / "deploy/grafana"
OPERATIONS = ROOT / "docs/operations.md"
NOBODY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
BOXED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}

Document = dict[str, Any]


# Images


def let_through() -> list[str]:
    """What of the sources a build may see."""
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in lines
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, what follows), lines joined."""
    text = re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint is not installed (it comes with reelvec[dev])")
def test_the_dockerfile_passes_its_linter() -> None:
    done = subprocess.run(["hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    bad = subprocess.run(
        ["hadolint", "-"], input="FROM x:latest\nRUN cd / && apt-get install y\n", capture_output=True, text=True
    )
    assert bad.returncode != 0


def test_every_image_ends_as_nobody_and_is_copied_together_from_what_the_build_sees() -> None:
    stages: dict[str, list[tuple[str, str]]] = {}
    parents: dict[str, str] = {}
    for word, rest in instructions():
        if word == "FROM":
            parents[name := rest.split()[-1]] = rest.split()[0]
            stages[name] = []
        elif stages:
            stages[name].append((word, rest))
    for image in ("cpu", "gpu", "cpu-worker", "gpu-worker"):
        line: list[tuple[str, str]] = []
        stage = image
        while stage in stages:
            line = stages[stage] + line
            stage = parents[stage]
        assert [rest for word, rest in line if word == "USER"][-1] == "10001:10001", image
        assert [word for word, _ in line].count("ENTRYPOINT") >= 1 and not any(word == "ADD" for word, _ in line)
    copied = [
        source for _, rest in instructions() if _ == "COPY" and "--from" not in rest for source in rest.split()[:-1]
    ]
    seen = let_through()
    assert copied and all(source in seen and (ROOT / source).exists() for source in copied)


def test_base_images_stand_in_one_place_and_no_digest_is_made_up(tmp_path: Path) -> None:
    pairs = re.findall(r"^(\w+)=(.*)$", (DOCKER / "images.env").read_text(), re.M)
    assert {name for name, _ in pairs} == {"PYTHON_IMAGE", "PYTHON_DIGEST", "BEAM_IMAGE", "BEAM_DIGEST"}
    values = dict(pairs)
    beam = re.search(r"^apache-beam==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert beam and values["BEAM_IMAGE"].endswith(f":{beam[1]}")
    for name, value in pairs:
        assert re.fullmatch(r"(sha256:[0-9a-f]{64})?" if name.endswith("DIGEST") else r"[a-z0-9./_-]+:[\w.-]+", value)
        assert value == "" or value not in (DOCKER / "Dockerfile").read_text()


def test_building_says_what_is_not_pinned_and_refuses_to_release_it() -> None:
    said = subprocess.run([DOCKER / "build.sh", "--print", "gpu-worker"], capture_output=True, text=True)
    assert said.returncode == 0 and "--target gpu-worker" in said.stdout and "REELVEC_TORCH_BACKEND= " in said.stdout
    assert (
        "REELVEC_TORCH_BACKEND=cpu"
        in subprocess.run([DOCKER / "build.sh", "--print", "cpu"], capture_output=True, text=True).stdout
    )
    if "_DIGEST=\n" in (DOCKER / "images.env").read_text():
        refused = subprocess.run([DOCKER / "build.sh", "--print", "--release", "cpu"], capture_output=True, text=True)
        assert refused.returncode == 1 and "is not pinned" in refused.stderr and not refused.stdout
    assert subprocess.run([DOCKER / "build.sh", "tpu"], capture_output=True).returncode == 2


def uv() -> str | None:
    own = ROOT / ".tools/python/bin/uv"
    return shutil.which("uv") or (str(own) if own.exists() else None)


@pytest.mark.skipif(uv() is None, reason="uv is not installed: `make setup` puts it into .tools")
def test_the_steps_of_an_image_make_a_command_that_runs_elsewhere_as_somebody_else(tmp_path: Path) -> None:
    """Without models and system packages: those are gigabytes, and the steps are the same."""
    for name in let_through():
        target = tmp_path / "src" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    made = tmp_path / "made"
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        "PATH": f"{Path(uv() or '').parent}:{os.environ['PATH']}",
        "REELVEC_PREFIX": str(made),
        "REELVEC_PYTHON": sys.executable,
        "REELVEC_EXTRAS": "metrics",
        "REELVEC_RECIPE": "",
    }
    command = ["bash", "deploy/docker/install.sh", "dependencies", "package", "weights", "sbom"]
    done = subprocess.run(command, cwd=tmp_path / "src", env=environment, capture_output=True, text=True, timeout=300)
    if re.search(r"dns error|error sending request|Failed to fetch|network", done.stderr):
        pytest.skip(f"the package registry does not answer: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    bill = json.loads((made / "sbom.cdx.json").read_text())
    held = {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]}
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    assert bill["bomFormat"] == "CycloneDX" and held["reelvec"] == "0.1.0"
    assert held["apache-beam"] == pinned["apache-beam"] and held["prometheus-client"] == pinned["prometheus-client"]
    shutil.rmtree(tmp_path / "src")  # nothing of the sources is needed any more
    for args in (["--version"], ["encoders", "--family", "mfcc", "--json"]):
        run = subprocess.run(
            [made / "venv/bin/reelvec", *args],
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": "/nowhere"},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr


def test_a_container_is_well_while_its_metrics_answer() -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed: reelvec[metrics]")
    from pipelines.prometheus import Exported, served

    def check(address: str) -> int:
        environment = {**os.environ, "REELVEC_METRICS_PORT": address}
        command = [sys.executable, DOCKER / "healthcheck.py"]
        return subprocess.run(command, env=environment, capture_output=True).returncode

    with served(Exported(index="i", command="watch"), "0.0.0.0:0") as port:
        assert check(f"0.0.0.0:{port}") == check(str(port)) == check("") == 0
    assert check(f"0.0.0.0:{port}") == 1


# Kubernetes


@cache
def rendered(overlay: str) -> tuple[Document, ...]:
    """What `kubectl apply -k` would send."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl, which renders the overlays, is not installed")
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


@pytest.fixture(params=["cpu", "cpu watching", "gpu", "gpu watching"])
def manifests(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Document, ...]:
    name, _, watching = request.param.partition(" ")
    if not watching:
        return rendered(str(KUBERNETES / "overlays" / name))
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    overlay = tmp_path / "deploy/kubernetes/overlays" / name / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("# components:", "components:"))
    return rendered(str(overlay.parent))


def pods(documents: tuple[Document, ...]) -> dict[str, Document]:
    """The spec of every pod, by kind and name of what starts it."""
    found = {}
    for one in documents:
        spec = one.get("spec", {})
        if one["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            found[f"{one['kind']}/{one['metadata']['name']}"] = spec["template"]["spec"]
    return found


def of_kind(documents: tuple[Document, ...], kind: str) -> dict[str, Document]:
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def test_kubernetes_accepts_what_is_rendered(manifests: tuple[Document, ...]) -> None:
    version = kubernetes_validate.latest_version()
    for one in manifests:
        kubernetes_validate.validate(one, version, strict=True)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "reelvec"
    (job,) = of_kind(manifests, "Job").values()
    wrong = {**job, "spec": {**job["spec"], "backOffLimit": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_every_pod_is_nobody_and_writes_where_it_must(manifests: tuple[Document, ...]) -> None:
    found = pods(manifests)
    assert {"Job/reelvec-ingest", "CronJob/reelvec-reindex", "StatefulSet/qdrant"} <= set(found)
    accounts = of_kind(manifests, "ServiceAccount")
    for name, pod in found.items():
        assert pod["securityContext"].items() >= NOBODY.items() and pod["securityContext"]["runAsUser"] >= 1000, name
        assert pod["automountServiceAccountToken"] is False and pod["serviceAccountName"] in accounts, name
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["securityContext"] == BOXED, name
            assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"], name
            assert re.fullmatch(r"[\w/-]+:v?\d[\w.-]*", container["image"]), container["image"]
            templates = {"storage"} if name == "StatefulSet/qdrant" else set()
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes | templates, name


def test_secrets_are_named_and_never_written(manifests: tuple[Document, ...]) -> None:
    assert not of_kind(manifests, "Secret")
    for name, pod in pods(manifests).items():
        (container,) = pod["containers"]
        keys = [entry for entry in container["env"] if re.search("KEY$", entry["name"]) and "TLS" not in entry["name"]]
        assert keys, name
        for entry in keys:
            assert "value" not in entry and entry["valueFrom"]["secretKeyRef"] == {"name": "qdrant", "key": "api-key"}


def test_runs_reach_qdrant_alone_and_over_tls(manifests: tuple[Document, ...]) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    nothing = policies.pop("nothing")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ways_out = [rule for one in policies.values() for rule in one["spec"].get("egress", [])]
    assert {tuple(sorted({port["port"] for port in rule["ports"]})) for rule in ways_out} == {(53,), (6333, 6334)}
    assert all(rule["to"] for rule in ways_out)
    (service,) = [one for name, one in of_kind(manifests, "Service").items() if name == "qdrant"]
    server = pods(manifests)["StatefulSet/qdrant"]["containers"][0]
    assert {port["name"] for port in server["ports"]} == {port["targetPort"] for port in service["spec"]["ports"]}
    held = {entry["name"]: entry.get("value") for entry in server["env"]}
    assert held["QDRANT__SERVICE__ENABLE_TLS"] == "true"
    assert {server[f"{kind}Probe"]["httpGet"]["scheme"] for kind in ("startup", "readiness", "liveness")} == {"HTTPS"}
    for name, pod in pods(manifests).items():
        if name != "StatefulSet/qdrant":
            words = pod["containers"][0]["args"]
            assert words[words.index("--index") + 1] == "https://qdrant:6333/media", name


def test_every_run_is_a_command_line_of_the_program_and_is_seen(manifests: tuple[Document, ...]) -> None:
    runs = {name: pod["containers"][0] for name, pod in pods(manifests).items() if "qdrant" not in name}
    for name, container in runs.items():
        command, *args = container["args"]
        told = {entry["name"]: entry.get("value") for entry in container["env"]}
        parser = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
        with parser.make_context(command, list(args)) as parsed:
            assert parsed.params["index"].startswith("https://"), name
        known = {parameter.envvar for parameter in parser.params if parameter.envvar}
        assert {"REELVEC_METRICS_PORT", "REELVEC_LOG_FORMAT"} <= known & set(told), name
        port = int(str(told["REELVEC_METRICS_PORT"]).rpartition(":")[2])
        assert [one["containerPort"] for one in container["ports"]] == [port] == [9464]


def test_gpus_are_asked_for_where_runs_are_and_nowhere_else() -> None:
    without, with_gpu = (pods(rendered(str(KUBERNETES / "overlays" / name))) for name in ("cpu", "gpu"))
    for name, pod in with_gpu.items():
        limits = pod["containers"][0]["resources"]["limits"]
        assert limits.get("nvidia.com/gpu", 0) == (0 if "qdrant" in name else 1), name
        assert "nvidia.com/gpu" not in without[name]["containers"][0]["resources"]["limits"]
        devices = [entry["value"] for entry in pod["containers"][0]["env"] if entry["name"] == "REELVEC_DEVICE"]
        assert devices == ([] if "qdrant" in name else ["cuda"])


# Grafana and Prometheus


def expressions(panel_or_rule: Any) -> list[str]:
    """Every `expr` of a document, however deep."""
    if isinstance(panel_or_rule, dict):
        own = [panel_or_rule["expr"]] if "expr" in panel_or_rule else []
        return own + [one for value in panel_or_rule.values() for one in expressions(value)]
    return [one for item in panel_or_rule for one in expressions(item)] if isinstance(panel_or_rule, list) else []


def alerts() -> list[Document]:
    held = yaml.safe_load((GRAFANA / "alerts.yaml").read_text())
    return [rule for group in held["groups"] for rule in group["rules"]]


def test_the_dashboard_and_the_alerts_ask_for_series_that_the_code_defines() -> None:
    defined = {name: measure for measure in MEASURES for name in measure.series}
    dashboard = json.loads((GRAFANA / "dashboard.json").read_text())
    asked = expressions(dashboard) + expressions(alerts())
    assert len(asked) > 30
    for expression in asked:
        for name, labels in re.findall(r"(reelvec_\w+)(\{[^}]*\})?", expression):
            assert name in defined, f"{name} in {expression}"
            own = set(re.findall(r"(\w+)=?[=~!]", labels)) - {"index", "command"}
            assert own <= {defined[name].label}, expression
    shown = set(re.findall(r"reelvec_\w+", " ".join(expressions(dashboard))))
    never = {measure.name for measure in MEASURES if not shown & set(measure.series)}
    assert never <= {"last_run_ended_timestamp_seconds", "videos_listed_count", "videos_probed_count"}


def test_the_panels_of_the_dashboard_have_their_places() -> None:
    dashboard = json.loads((GRAFANA / "dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 15
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places) and all(one["gridPos"]["x"] + one["gridPos"]["w"] <= 24 for one in panels)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(panels))) <= variables


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_alert_leads_to_its_section_of_the_operations_page() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts()) >= 8
    for rule in alerts():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md" and anchor in anchors(OPERATIONS), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in OPERATIONS.read_text()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian has it in `prometheus`)")
def test_alerts_fire_when_they_have_to_and_not_otherwise() -> None:
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=GRAFANA, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = yaml.safe_load((GRAFANA / "alerts_test.yaml").read_text())["tests"]
    fire = {one["alertname"] for test in tested for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fire == {rule["alert"] for rule in alerts()}


def test_every_measure_is_on_the_operations_page() -> None:
    page = OPERATIONS.read_text()
    assert [one.exported for one in MEASURES if f"`{one.exported}" not in page] == []


# Sizing


def test_the_sizing_table_of_the_page_is_what_the_program_prints(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("usd_per_machine_hour = 0.40\n")
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/sizing.py", "--prices", tmp_path / "prices.toml"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0 and done.stdout.count("\n") == 5, done.stderr
    assert done.stdout in (ROOT / "docs/deploy.md").read_text()


def test_the_pages_of_deployment_link_to_what_is_there() -> None:
    for page in (ROOT / "docs/deploy.md", *(ROOT / "deploy").glob("*/README.md")):
        for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([\w-]+))?\)", page.read_text()):
            target = (page.parent / link).resolve() if link else page
            assert target.exists(), f"{link} in {page.name}"
            assert not anchor or anchor in anchors(target), f"{link}#{anchor} in {page.name}"
