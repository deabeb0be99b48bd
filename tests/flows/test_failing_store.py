"""A night on an S3 server of which one call in ten fails: it ends with the version of an undisturbed one on disk. Where
the server fails for good, the night ends in one line with the code of the store, and the next run goes on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from qstar_core.store.integrity import read_verified
from qstar_core.store.localserver import RunningS3
from qstar_core.store.versions import Versions
from tests.disks import small_disk_at
from tests.faults.proxy import Fault, FaultProxy, Script, always, first, share
from tests.faults.test_disk import fill
from tests.flows.project import WITHOUT_RUN_ID, Project
from tests.flows.test_nights import until
from tests.flows.test_s3 import on_s3

FILES = ("data/data.jsonl", "diagnostics/diagnostics.jsonl", "rejects/rejects.jsonl")


def night(project: Project, server: RunningS3, prefix: str, script: Script, code: int = 0) -> tuple[str, FaultProxy]:
    """What it told last, and what its network did."""
    proxy = FaultProxy(server.endpoint_url, script)
    try:
        env = on_s3(project, server, prefix) | {"QSTAR__STORE__S3__ENDPOINT_URL": proxy.endpoint_url}
        if code:
            return project.refused("demo", code=code, **env), proxy
        return project.run("demo", **env).stdout, proxy
    finally:
        proxy.close()


def equals(server: RunningS3, prefix: str, undisturbed: Project) -> None:
    store = server.store(prefix)
    versions = Versions(store, "demo")
    latest = versions.latest()
    assert latest is not None and latest.history == (undisturbed.latest(),)
    manifest = versions.manifest(latest.version)
    found = {ref.key.split(f"{manifest.version}/", 1)[1]: read_verified(store, ref) for ref in manifest.files}
    for name in FILES:
        rows = [{key: value for key, value in json.loads(line).items() if key not in WITHOUT_RUN_ID}
                for line in found[name].decode().splitlines()]
        assert rows == undisturbed.rows(name)
    assert [step.model_dump(mode="json") for step in manifest.funnel] == undisturbed.manifest()["funnel"]
    assert not list(store.list("datasets/demo/staged/"))


def test_a_night_with_a_tenth_of_all_calls_failing_ends_like_the_undisturbed_one(
        here: Project, undisturbed: Project, s3_server: RunningS3) -> None:
    told, proxy = night(here, s3_server, "tenth", share(0.1, seed=1))
    assert "Dataset version" in told and 0.05 < len(proxy.struck) / len(proxy.seen) < 0.2
    assert {request.method for request in proxy.struck} >= {"GET", "PUT", "HEAD", "DELETE"}
    equals(s3_server, "tenth", undisturbed)


@pytest.mark.slow
def test_a_night_of_failing_calls_a_poisoned_shard_and_a_full_disk_ends_as_documented(
        project: Project, undisturbed: Project, s3_server: RunningS3, tmp_path: Path) -> None:
    """The shard kills its process twice and is named; then the disk is full; with both mended the night ends like an
    undisturbed one."""
    proxy, store = FaultProxy(s3_server.endpoint_url, share(0.1, seed=2)), s3_server.store("worst")
    line = "/begun/shard-1.json"

    def poison() -> str | None:
        return next((info.key for info in store.list("datasets/") if info.key.endswith(line)), None)

    with small_disk_at(tmp_path / "disk", 64) as disk:
        env = on_s3(project, s3_server, "worst") | {
            "QSTAR__STORE__S3__ENDPOINT_URL": proxy.endpoint_url, "QSTAR__OPERATIONS__MAX_CRASHES": "2",
            "QSTAR__ROUND__CHECKPOINT_EVERY": "99", "QSTAR_HOME": str(disk / "home")}
        try:
            for death in range(2):
                process = project.start("demo", **env)
                found = until(lambda death=death: (key := poison()) and json.loads(store.read(key))["crashes"] == death)
                assert found and process.poll() is None
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            told = project.refused("demo", code=5, **env)
            assert "shard 1 of" in told and "2 times in a row" in told and line in told
            key = poison()
            assert key is not None
            store.delete(key)
            fill(disk / "filler")
            assert "no space left in" in project.refused("demo", code=6, **env)
            (disk / "filler").unlink()
            assert "Dataset version" in project.run("demo", **env).stdout
        finally:
            proxy.close()
    assert 0.05 < len(proxy.struck) / len(proxy.seen) < 0.2
    equals(s3_server, "worst", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("PUT", "/parts/"), ("PUT", "/shards/"), ("PUT", "ledger"), ("PUT", "manifest.json"),
                                   ("PUT", "latest.json"), ("DELETE",)], ids=lambda words: words[-1].strip("/"))
def test_a_night_whose_store_fails_for_good_ends_in_one_line_and_the_next_run_goes_on(
        here: Project, undisturbed: Project, s3_server: RunningS3, words: tuple[str, ...]) -> None:
    prefix = f"good-{words[-1].strip('/')}"
    line, proxy = night(here, s3_server, prefix, always(Fault.E500, *words), code=6)
    assert "the server failed" in line and proxy.endpoint_url in line and len(proxy.struck) >= 16
    night(here, s3_server, prefix, first(Fault.LOST, *words))
    equals(s3_server, prefix, undisturbed)
