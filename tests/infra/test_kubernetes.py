"""Manifests, job templates and Helm values, by the schemas of Kubernetes and of the charts, and by Prefect's own code.
No cluster runs here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings.legacy import _get_settings_fields
from prefect.settings.models.root import Settings as PrefectSettings
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

from flows.serve import _CLIENT
from qstar_core.config import OperationsSettings
from tests.infra.files import KUBERNETES, locked, read_json, read_yaml

RELEASE = "1.33"
MANIFESTS = [(path.name, document) for name in ("namespace.yaml", "access.yaml", "storage.yaml")
             for path in [KUBERNETES / name] for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
JOBS = ("cpu", "gpu")
VALUES = {"server-values.yaml": "server", "worker-values.yaml": "worker", "worker-gpu-values.yaml": "worker"}


def job(kind: str, **variables: Any) -> dict[str, Any]:
    """The manifest that a worker would submit for a run, made by the worker's own code."""
    template = read_json(KUBERNETES / f"{kind}-job.json")
    nobody = PrefectClient("http://127.0.0.1:9/api")  # the templates refer to no block, so none is asked for
    made = asyncio.run(KubernetesWorkerJobConfiguration.from_template_and_values(template, variables, client=nobody))
    made.prepare_for_flow_run(FlowRun(flow_id="3a3b8a08-0000-4000-8000-000000000000", name="demo round 1"))
    return made.job_manifest


@pytest.mark.parametrize("manifest", [document for _, document in MANIFESTS],
                         ids=[f"{name} {document['kind']}" for name, document in MANIFESTS])
def test_manifests_are_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, RELEASE, strict=True)
    if manifest["kind"] != "Namespace":
        assert manifest["metadata"]["namespace"] == "qstar"


@pytest.mark.parametrize("kind", JOBS)
def test_the_job_of_a_run_is_valid_and_is_never_run_twice_by_kubernetes(kind: str) -> None:
    made = job(kind)
    kubernetes_validate.validate({**made, "metadata": {**made["metadata"], "name": "run"}}, RELEASE, strict=True)
    spec = made["spec"]
    assert spec["backoffLimit"] == 0 and spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["completions"] == spec["parallelism"] == 1
    assert job(kind, image="other:1")["spec"]["template"]["spec"]["containers"][0]["image"] == "other:1"


@pytest.mark.parametrize("kind", JOBS)
def test_the_pod_of_a_run_keeps_the_rules_of_its_namespace_and_has_no_rights(kind: str) -> None:
    """The standard `restricted` of pod security, which the namespace enforces."""
    pod = job(kind)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    rules = container["securityContext"]
    assert not rules["allowPrivilegeEscalation"] and rules["capabilities"] == {"drop": ["ALL"]}
    assert rules["readOnlyRootFilesystem"] and pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "qstar-run"
    bound = {subject["name"] for _, made in MANIFESTS if made["kind"] == "RoleBinding" for subject in made["subjects"]}
    assert "qstar-run" not in bound


@pytest.mark.parametrize("kind", JOBS)
def test_what_a_pod_mounts_exists(kind: str) -> None:
    pod = job(kind)["spec"]["template"]["spec"]
    names = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == names
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]
              if "persistentVolumeClaim" in volume}
    assert claims == {made["metadata"]["name"] for _, made in MANIFESTS if made["kind"] == "PersistentVolumeClaim"}


def test_only_the_gpu_job_asks_for_gpus_as_many_as_it_is_told() -> None:
    def limits(made: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = made["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        return found

    assert limits(job("gpu"))["nvidia.com/gpu"] == 1 and limits(job("gpu", gpus=4))["nvidia.com/gpu"] == 4
    assert "nvidia.com/gpu" not in limits(job("cpu"))


@pytest.mark.parametrize("kind", JOBS)
def test_the_template_has_all_variables_of_the_workers_own_but_the_retries(kind: str) -> None:
    ours = read_json(KUBERNETES / f"{kind}-job.json")["variables"]["properties"]
    theirs = KubernetesWorker.get_default_base_job_template()["variables"]["properties"]
    assert set(theirs) - set(ours) == {"backoff_limit"}
    env = ours["env"]["default"]
    assert _CLIENT.items() <= env.items(), "without its heartbeat a run would be taken for dead"
    assert {name for name in env if name.startswith("PREFECT_")} <= set(_get_settings_fields(PrefectSettings))


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_accepts_its_values(name: str) -> None:
    schema = read_json(Path(__file__).parent / "schemas" / f"prefect-{VALUES[name]}.json")
    jsonschema.validators.validator_for(schema)(schema).validate(read_yaml(KUBERNETES / name))


def test_the_charts_run_the_locked_prefect_and_the_account_with_few_rights() -> None:
    images = [read_yaml(KUBERNETES / "server-values.yaml")["global"]["prefect"]["image"]]
    for pool, name in (("", "worker-values.yaml"), ("-gpu", "worker-gpu-values.yaml")):
        values = read_yaml(KUBERNETES / name)
        images.append(values["worker"]["image"])
        assert values["worker"]["config"]["workPool"] == OperationsSettings().pool + pool
        assert values["serviceAccount"] == {"create": False, "name": "qstar-worker"}
        assert values["role"] == values["rolebinding"] == {"create": False}
    assert all(image["prefectTag"].startswith(f"{locked('prefect')}-") for image in images)


def test_the_worker_may_make_jobs_and_read_their_pods_and_nothing_else() -> None:
    [role] = [made for _, made in MANIFESTS if made["kind"] == "Role"]
    rights = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    writes = {(resource, verb) for resource, verb in rights if verb not in ("get", "list", "watch")}
    assert writes == {("jobs", "create"), ("jobs", "patch"), ("jobs", "delete")}
    assert not any("*" in pair or "secrets" in pair for pair in rights)


def test_no_file_holds_a_secret() -> None:
    for path in KUBERNETES.iterdir():
        assert "kind: Secret" not in path.read_text(encoding="utf-8")
    values = read_yaml(KUBERNETES / "server-values.yaml")
    assert values["externalDatabase"]["existingSecret"] and not values["secret"]["create"]
    assert values["backgroundServices"]["messaging"]["docket"]["existingSecret"]
