"""A round by workers of Ray is the round of one process, row for row, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows import runners
from qstar_core.config import OperationsSettings, Settings
from qstar_core.errors import ConfigError, ServerError
from tests.flows.project import Project

RAY = {"QSTAR__OPERATIONS__RUNNER": "ray", "QSTAR__OPERATIONS__RAY_WORKERS": "2"}
FILES = ("data/data.jsonl", "rejects/rejects.jsonl", "diagnostics/diagnostics.jsonl")
installed = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (the extra `ray`)")


def samplers(project: Project) -> list[int]:
    """The processes that sample for this project now; Ray writes the method's name over their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            if (entry / "cmdline").read_bytes().startswith(b"ray::ShardWorker.sample"):
                home = f"QSTAR_HOME={project.env['QSTAR_HOME']}".encode()
                found += [pid] if home in (entry / "environ").read_bytes().split(b"\0") else []
    return found


def until(what: str, process: subprocess.Popen[str], true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 180
    while not true():
        assert process.poll() is None and time.monotonic() < deadline, what
        time.sleep(0.05)


def test_without_ray_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'qstar\[ray\]'"):
        runners.check_runner(Settings(operations=OperationsSettings(runner="ray")))
    runners.check_runner(Settings())


@installed
@pytest.mark.ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_no_ray_answers_is_told_before_anything_runs(address: str) -> None:
    settings = Settings(operations=OperationsSettings(runner="ray", ray_address=address))
    with pytest.raises(ServerError, match="no Ray answers at"):
        runners.check_runner(settings)


@installed
@pytest.mark.ray
def test_two_workers_of_ray_make_the_rows_of_one_process(project: Project, undisturbed: Project) -> None:
    project.run("demo", **RAY)
    for file in FILES:
        assert project.rows(file) == undisturbed.rows(file)
    ledger = sorted(path.name for path in (project.dataset() / "rounds").rglob("ledger/*.json"))
    assert ledger == ["00000.json", "00001.json", "00002.json"]
    assert not list((project.dataset() / "rounds").rglob("begun/*")), "nothing is left that looks like a crash"
    assert samplers(project) == []


@installed
@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_worker_costs_its_shard_in_flight_only(project: Project, model_cache: Path, tmp_path: Path,
                                                        api_url: str) -> None:
    size = {"QSTAR__ROUND__PROMPTS": "120"}
    alone = Project.make(tmp_path / "alone", model_cache, api_url, **size)
    alone.run("demo")
    rounds = project.dataset() / "rounds"
    process = project.start("demo", **RAY, **size)
    until("a checkpoint and a finished shard", process,
          lambda: list(rounds.rglob("ledger/*.json")) and list(rounds.rglob("parts/*/*.parquet")) and samplers(project))
    before = {path: path.read_bytes() for path in rounds.rglob("ledger/*.json")}
    os.kill(samplers(project)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert all(path.read_bytes() == line for path, line in before.items()), "no finished shard ran again"
    assert any("a worker of Ray was lost with shard" in log.read_text()
               for log in (project.folder / ".qstar" / "logs").glob("*.jsonl"))
    for file in FILES:
        assert project.rows(file) == alone.rows(file)


@installed
@pytest.mark.ray
@pytest.mark.slow
def test_a_shard_that_kills_every_worker_is_named_and_given_up(project: Project) -> None:
    """A poisoned shard: whatever samples is killed, until the round stops by itself."""
    process = project.start("demo", **{**RAY, "QSTAR__OPERATIONS__RAY_WORKERS": "1"},
                            QSTAR__OPERATIONS__MAX_CRASHES="2", QSTAR__ROUND__CHECKPOINT_EVERY="1000")
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        for pid in samplers(project):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5 and "ended its process 2 times in a row" in err, err

