"""A project folder in which the real `qstar` command runs as a user would run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.cli import main
from qstar_core.errors import ServerError

SMALL = {
    "QSTAR__ROUND__PROMPTS": "24", "QSTAR__ROUND__SHARD_SIZE": "16", "QSTAR__ROUND__CHECKPOINT_EVERY": "4",
    "QSTAR__OUTPUT__REPORT_SAMPLES": "4",
}
WITHOUT_RUN_ID = ("run_id",)
_GUARD = """
import sys
sys.stdin.read()
sys.argv[1:] = ["down"]
from flows.cli import main
main()
"""


@dataclass(frozen=True)
class Project:
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, model_cache: Path, api_url: str | None, **env: str) -> Project:
        folder.mkdir(parents=True, exist_ok=True)
        base = {k: v for k, v in os.environ.items() if not k.startswith(("QSTAR", "PREFECT"))}
        base |= {"QSTAR_HOME": str(folder / ".qstar"), "QSTAR_MODEL_CACHE": str(model_cache), "COLUMNS": "200",
                 "PREFECT_HOME": str(folder / "prefect-home"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                 "DO_NOT_TRACK": "1", **SMALL, **env}
        if api_url is not None:
            base["PREFECT_API_URL"] = api_url
        return cls(folder, base)

    @contextmanager
    def servers_stopped(self) -> Iterator[None]:
        """`qstar down` at the end, by a guard that reads a pipe of ours: it comes also when this run is killed."""
        guard = subprocess.Popen([sys.executable, "-c", _GUARD], cwd=self.folder, env=self.env, stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            yield
        finally:
            guard.communicate(timeout=60)
        assert guard.returncode == 0

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-m", "flows.cli", *arguments], cwd=self.folder,
                                env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self, *arguments: str, code: int = 0, timeout_s: float = 300,
            **env: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit code must be the expected one."""
        process = self.start(*arguments, **env)
        out, err = process.communicate(timeout=timeout_s)
        assert process.returncode == code, f"exit {process.returncode}, wanted {code}\n{out}\n{err}"
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def refused(self, *arguments: str, code: int, **env: str) -> str:
        """The one line that a failing command ends with."""
        done = self.run(*arguments, code=code, **env)
        lines = [line for line in done.stderr.splitlines() if line.startswith("qstar: ")]
        assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
        return lines[0].removeprefix("qstar: ")

    @property
    def store(self) -> Path:
        return self.folder / ".qstar" / "store"

    def dataset(self, name: str = "demo") -> Path:
        return self.store / "datasets" / name

    def latest(self, name: str = "demo") -> str:
        found: str = json.loads((self.dataset(name) / "latest.json").read_text())["version"]
        return found

    def version(self, version: str | None = None, name: str = "demo") -> Path:
        return self.dataset(name) / "versions" / (version or self.latest(name))

    def manifest(self, version: str | None = None, name: str = "demo") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.version(version, name) / "manifest.json").read_text())
        return found

    def rows(self, file: str, version: str | None = None, name: str = "demo") -> list[dict[str, Any]]:
        """The rows of a JSON lines file of a version, run id aside."""
        lines = (self.version(version, name) / file).read_text(encoding="utf-8").splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in WITHOUT_RUN_ID} for line in lines]


@dataclass(frozen=True)
class ProjectHere(Project):
    """The same, but commands run in this process, which has loaded what takes each of them seconds to load."""

    patch: pytest.MonkeyPatch = field(default_factory=pytest.MonkeyPatch)
    capsys: pytest.CaptureFixture[str] | None = None

    def run(self, *arguments: str, code: int = 0, timeout_s: float = 300,
            **env: str) -> subprocess.CompletedProcess[str]:
        assert code not in (ServerError.exit_code, 130), "such a command ends its process at once"
        assert self.capsys is not None
        handler = signal.getsignal(signal.SIGTERM)
        with self.patch.context() as patch, temporary_settings({PREFECT_API_URL: self.env["PREFECT_API_URL"],
                                                                PREFECT_HOME: self.env["PREFECT_HOME"]}):
            self._enter(patch, arguments, env)
            try:
                main()
                ended: Any = 0
            except SystemExit as end:
                ended = end.code
            finally:
                signal.signal(signal.SIGTERM, handler)
        told = self.capsys.readouterr()
        assert ended == code, f"exit {ended}, wanted {code}\n{told.out}\n{told.err}"
        return subprocess.CompletedProcess(arguments, code, told.out, told.err)

    def _enter(self, patch: pytest.MonkeyPatch, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith(("QSTAR", "PREFECT"))]:
            patch.delenv(name)
        for name in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
            patch.setenv(name, "CRITICAL")
        for name, value in {**self.env, **env}.items():
            if os.environ.get(name) != value and name != "PYTEST_CURRENT_TEST":
                patch.setenv(name, value)
        patch.chdir(self.folder)
        patch.setattr(sys, "argv", ["qstar", *arguments])
