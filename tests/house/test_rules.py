"""The house rules that a program can check."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("qstar_core", "tasks", "flows")
SOURCES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 500, 60


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_and_functions_are_short_and_modules_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name
    if text.strip():
        assert ast.get_docstring(tree), "the module has no docstring"


def test_the_core_imports_without_prefect() -> None:
    optional = () if importlib.util.find_spec("vllm") else ("qstar_core.engine.vllm.",)
    modules = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
               for path in SOURCES if path.parts[len(REPOSITORY.parts)] == "qstar_core"]
    modules = [name for name in modules if not name.startswith(optional)]
    program = ("import sys, importlib\n"
               "class Refuse:\n"
               "    def find_spec(self, name, *rest):\n"
               "        if name.split('.')[0] == 'prefect': raise ImportError('prefect is not installed')\n"
               "sys.meta_path.insert(0, Refuse())\n"
               f"for name in {modules!r}: importlib.import_module(name)\n"
               "assert 'prefect' not in sys.modules\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


def test_the_command_starts_without_the_libraries_that_load_for_seconds() -> None:
    """Torch and its like are loaded by the commands that need them; every other answer comes at once."""
    program = ("import sys, flows.cli\n"
               "slow = {'torch', 'transformers', 'prefect', 'datasets', 'great_expectations', 'matplotlib', 'pandas'}\n"
               "assert not slow & set(sys.modules), slow & set(sys.modules)\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


def test_the_lock_pins_everything_and_names_no_address() -> None:
    lines = [line for line in (REPOSITORY / "requirements.lock").read_text().splitlines()
             if line.strip() and not line.lstrip().startswith("#")]
    assert all(re.match(r"^[A-Za-z0-9._-]+(\[[^\]]+\])?==\S+( ; .+)?$", line) for line in lines)
    assert "torch==2.13.0" in lines


def test_remote_code_and_pickles_are_never_allowed() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code=True" not in text and "pickle.load" not in text and "weights_only=False" not in text


def test_no_bare_except_and_nothing_swallowed() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path}:{node.lineno}"
                assert not all(isinstance(statement, ast.Pass) for statement in node.body), f"{path}:{node.lineno}"
