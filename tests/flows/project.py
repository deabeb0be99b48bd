"""A project folder in which the real `qstar` command runs as a user would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SMALL = {
    "QSTAR__ROUND__PROMPTS": "24", "QSTAR__ROUND__SHARD_SIZE": "16", "QSTAR__ROUND__CHECKPOINT_EVERY": "4",
    "QSTAR__OUTPUT__REPORT_SAMPLES": "4",
}
WITHOUT_RUN_ID = ("run_id",)


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
