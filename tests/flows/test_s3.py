"""The same night on a real S3 server, by configuration alone."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from qstar_core.store.integrity import read_verified
from qstar_core.store.localserver import RunningS3
from qstar_core.store.versions import Versions
from tests.flows.project import WITHOUT_RUN_ID, Project


def on_s3(project: Project, server: RunningS3, prefix: str) -> dict[str, str]:
    return {"QSTAR__STORE__URI": f"s3://{server.bucket}/{prefix}",
            "QSTAR__STORE__S3__ENDPOINT_URL": server.endpoint_url, "QSTAR__STORE__S3__ADDRESSING_STYLE": "path",
            "QSTAR__STORE__S3__REGION": "us-east-1", **server.environment}


def test_a_killed_night_on_s3_ends_like_the_undisturbed_one_on_disk(
        project: Project, undisturbed: Project, s3_server: RunningS3, tmp_path: Path) -> None:
    env, store = on_s3(project, s3_server, "night"), s3_server.store("night")
    process = project.start("demo", **env)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any("/parts/" in info.key for info in store.list("datasets/")):
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert Versions(store, "demo").latest() is None
    told = project.run("demo", **env).stdout
    assert f"s3://{s3_server.bucket}/night/datasets/demo/versions/" in told

    versions = Versions(store, "demo")
    manifest = versions.manifest(undisturbed.latest())
    found = {}
    for ref in manifest.files:
        found[ref.key.split(f"{manifest.version}/", 1)[1]] = read_verified(store, ref)
    for name in ("data/data.jsonl", "diagnostics/diagnostics.jsonl"):
        rows = [{k: v for k, v in json.loads(line).items() if k not in WITHOUT_RUN_ID}
                for line in found[name].decode().splitlines()]
        assert rows == undisturbed.rows(name)
    assert manifest.version in project.run("datasets", "list", "--names", **env).stdout


def test_secrets_are_in_no_object_no_output_no_file_and_not_in_prefect(
        project: Project, s3_server: RunningS3, tmp_path_factory: pytest.TempPathFactory) -> None:
    env, store = on_s3(project, s3_server, "secrets"), s3_server.store("secrets")
    done = project.run("demo", **env)
    for words in (("verify", "--all"), ("pull", "--out", "copy"), ("prune", "--keep", "1")):
        told = project.run("datasets", *words, **env)
        done.stdout += told.stdout + told.stderr
    servers = [*tmp_path_factory.getbasetemp().glob("server*")]
    files = [path for folder in (project.folder, *servers) for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files), "Prefect's database, with its logs and artifacts"
    for secret in (s3_server.secret_key, s3_server.access_key):
        assert secret not in done.stdout + done.stderr
        assert not any(secret.encode() in store.read(info.key) for info in store.list(""))
        assert not [path for path in files if secret.encode() in path.read_bytes()]
