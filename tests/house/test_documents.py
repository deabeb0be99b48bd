"""The documents tell the truth: every setting, command, filter, α method and policy is in them; README's commands run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import nbformat
import pytest
from nbclient import NotebookClient

from flows.cli import qstar
from flows.commands.datasets import datasets
from qstar_core.config import BestOfSettings, PairSettings
from qstar_core.exports.registry import FORMATS
from qstar_core.filters.chain import FILTERS
from qstar_core.gate.judge import CHECKS
from qstar_core.hints import STYLES
from qstar_core.mixture.alpha import METHODS, AlphaStatus
from qstar_core.mixture.policies.chain import POLICIES
from qstar_core.sources.adapters.table import ADAPTERS
from tests.flows.project import SMALL, Project

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCS = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs").glob("*.md")}


def console_lines() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_command_is_documented() -> None:
    for name in qstar.commands:
        assert f"qstar {name}" in README, name
    for name in datasets.commands:
        assert f"`qstar datasets {name}` |" in README and f"| `qstar datasets {name}" in DOCS["versions.md"], name


def test_every_filter_check_method_policy_and_status_is_documented() -> None:
    lines = {line.split("|")[1].strip(): line for line in DOCS["filters.md"].splitlines() if line.count("|") == 5}
    for name, kind in FILTERS.items():
        assert f"`{name}`" in lines, name
        for option in kind.options.model_fields:
            assert f"`{option}`" in lines[f"`{name}`"], f"{name}: {option}"
    for name in CHECKS:
        assert f"| `{name}` |" in DOCS["gate.md"], name
    for name in (*METHODS, *POLICIES, *(status.name for status in AlphaStatus)):
        assert f"`{name}`" in DOCS["concepts.md"], name
    for policy in POLICIES.values():
        for name in policy.options.model_fields:
            assert f"`{name}`" in DOCS["concepts.md"], f"{policy.name}: {name}"


def test_every_schema_and_hint_style_is_documented() -> None:
    for name in ADAPTERS:
        assert f"| `{name}` |" in DOCS["sources.md"], name
    for name in STYLES:
        assert f"`{name}`" in DOCS["prefix-strategies.md"], name


def test_every_export_format_kind_and_method_of_choosing_is_documented() -> None:
    for format_ in FORMATS.values():
        kinds = ", ".join(kind.value for kind in format_.kinds)
        assert f"| `{format_.name}` | {kinds} |" in DOCS["exports.md"], format_.name
    for page, section, field in (("exports.md", PairSettings, "method"), ("selection.md", BestOfSettings, "method")):
        for name in get_args(section.model_fields[field].annotation):
            assert f"| `{name}` |" in DOCS[page], name


def test_the_table_of_settings_is_the_settings() -> None:
    made = subprocess.run([sys.executable, "docs/make_settings.py"], capture_output=True, text=True, cwd=REPOSITORY,
                          check=True).stdout
    assert made.strip() == DOCS["settings.md"].strip(), "run: python docs/make_settings.py > docs/settings.md"


def test_links_between_documents_lead_somewhere() -> None:
    for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (path.parent / target).exists(), f"{path.name} → {target}"


def test_readme_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(console_lines())


def test_readmes_commands_run_in_order(tmp_path: Path, model_cache: Path) -> None:
    """Every line but the two `make` commands, in one project, from nothing."""
    project = Project.make(tmp_path / "project", model_cache, None, **SMALL)
    shutil.copytree(REPOSITORY / "examples", project.folder / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    lines = [line for line in console_lines() if not line.startswith("make ")]
    assert len(lines) >= 8
    with project.servers_stopped():
        for line in lines:
            done = subprocess.run(["bash", "-c", line], cwd=project.folder, env={**project.env, "PATH": path},
                                  capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("text", [README, DOCS["api.md"]], ids=["README.md", "api.md"])
def test_the_lines_of_python_run(tmp_path: Path, model_cache: Path, text: str) -> None:
    """The block that samples from Python, as it stands there."""
    block = next(block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "Mixture" in block)
    project = Project.make(tmp_path / "project", model_cache, None)
    done = subprocess.run([sys.executable, "-c", block], cwd=project.folder, env=project.env, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize("script", ["api.py", "basic.py", "two_prompts.py"])
def test_examples_run(tmp_path: Path, model_cache: Path, script: str) -> None:
    project = Project.make(tmp_path / "project", model_cache, None)
    done = subprocess.run([sys.executable, str(REPOSITORY / "examples" / script)], cwd=project.folder, env=project.env,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, model_cache: Path) -> None:
    project = Project.make(tmp_path / "project", model_cache, None)
    notebook = nbformat.read(REPOSITORY / "examples" / "walkthrough.ipynb", as_version=4)
    before = dict(os.environ)
    os.environ.update({name: project.env[name] for name in ("QSTAR_HOME", "QSTAR_MODEL_CACHE")})
    try:
        NotebookClient(notebook, timeout=300, kernel_name="python3",
                       resources={"metadata": {"path": str(project.folder)}}).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
