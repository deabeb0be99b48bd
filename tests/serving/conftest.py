"""A real `qstar serve` of the tiny pair, in a process as users start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from qstar_core import Mixture
from tests.conftest import REPOSITORY

TOKEN = "a token of the tests"
ENGINE = {"batch_size": 4, "context": 96, "device": "cpu", "threads": 1}


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen
    address: str
    log: Path

    def client(self, token: str = TOKEN) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.address, api_key=token, max_retries=0, timeout=60)


@contextmanager
def serving(folder: Path, model_cache: Path, *flags: str) -> Iterator[Server]:
    """Killed at the end, whatever came before."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("QSTAR", "PREFECT"))}
    env |= {"QSTAR_HOME": str(folder / ".qstar"), "QSTAR_MODEL_CACHE": str(model_cache), "QSTAR_SERVE_TOKEN": TOKEN,
            "PYTHONPATH": str(REPOSITORY)}
    engine = [text for name, value in ENGINE.items() for text in (f"--engine.{name}", str(value))]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "flows.cli", "serve", "--port", "0", *engine, *flags],
                                   cwd=folder, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told, (folder / "log").read_text()
        yield Server(process, told.split()[4], folder / "log")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve"), model_cache) as running:
        yield running


@pytest.fixture(scope="package")
def client(server: Server) -> openai.OpenAI:
    return server.client()


@pytest.fixture(scope="package")
def mixture(model_cache: Path) -> Iterator[Mixture]:
    known = os.environ.get("QSTAR_MODEL_CACHE")
    os.environ["QSTAR_MODEL_CACHE"] = str(model_cache)
    yield Mixture(engine=ENGINE)
    if known is None:
        del os.environ["QSTAR_MODEL_CACHE"]
