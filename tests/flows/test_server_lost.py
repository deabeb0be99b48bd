"""The Prefect server dies in the middle of a run: the run ends in time with its code, and nothing finished is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.flows.project import Project
from tests.flows.test_kill import FILES

LONGEST_S = 150


@pytest.mark.slow
def test_a_killed_server_ends_the_run_with_its_code_and_loses_nothing(tmp_path: Path, model_cache: Path,
                                                                      undisturbed: Project) -> None:
    project = Project.make(tmp_path / "project", model_cache, None)
    with project.servers_stopped():
        project.run("up", "--no-workers")
        server = json.loads((project.folder / ".qstar" / "prefect" / "server.json").read_text())["pid"]
        process = project.start("demo")
        deadline = time.monotonic() + 120
        while not list(project.dataset().glob("rounds/1/*/ledger/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(server, signal.SIGKILL)
        since = time.monotonic()
        _, err = process.communicate(timeout=600)
        assert process.returncode == 8 and "the Prefect server at" in err and "Traceback" not in err, err
        assert time.monotonic() - since < LONGEST_S
        finished = {path: path.stat().st_mtime_ns for path in project.dataset().glob("rounds/1/*/shards/*")}
        project.run("demo")
        assert finished and all(path.stat().st_mtime_ns == made for path, made in finished.items())
        for file in FILES:
            assert project.rows(file) == undisturbed.rows(file)
