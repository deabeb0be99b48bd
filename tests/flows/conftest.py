"""One real Prefect server for the flow tests, started and stopped by the product itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from tests.flows.project import Project, ProjectHere

MakeProject = Callable[..., Project]


@pytest.fixture(scope="session")
def api_url(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[str]:
    project = Project.make(tmp_path_factory.mktemp("server"), model_cache, None)
    with project.servers_stopped():
        yield project.run("up", "--no-workers").stdout.split()[1] + "/api"
        for worker in (APILogWorker, EventsWorker):  # of runs in this process; without a server they would wait for it
            worker.drain_all(timeout=10)


@pytest.fixture
def project(tmp_path: Path, model_cache: Path, api_url: str) -> Project:
    return Project.make(tmp_path / "project", model_cache, api_url)


@pytest.fixture
def here(tmp_path: Path, model_cache: Path, api_url: str, monkeypatch: pytest.MonkeyPatch,
         capsys: pytest.CaptureFixture[str]) -> ProjectHere:
    made = Project.make(tmp_path / "project", model_cache, api_url)
    return ProjectHere(made.folder, made.env, monkeypatch, capsys)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path, api_url: str) -> Project:
    """A project in which the small demo ran once, without trouble. Tests only read it."""
    project = Project.make(tmp_path_factory.mktemp("undisturbed"), model_cache, api_url)
    project.run("demo")
    return project
