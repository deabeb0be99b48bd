"""`qstar inspect` shows what a source is taken for, and nothing of a dataset can play tricks on the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstar_core.configload import load_settings
from qstar_core.errors import DataError
from qstar_core.stages.inspection import inspect as look
from qstar_core.stages.inspection import one_line
from qstar_core.stages.workspace import Workspace
from qstar_core.store.directory import DirectoryStore
from tests.flows.project import Project
from tests.sources.test_families import FIXTURES


@pytest.fixture
def project(tmp_path: Path, model_cache: Path) -> Project:
    """Without a server: looking needs none."""
    return Project.make(tmp_path / "project", model_cache, None)


QUESTION = "Tom has 15 apples . a) loses 1 . b) finds 2 . how many ?"


def test_inspect_tells_schema_columns_rejects_and_one_pair(project: Project) -> None:
    rows = [{"question": QUESTION, "answer": "16", "meta": {"reference": "14 16"}}, {"question": ""}]
    (project.folder / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = project.run("inspect", "--source.path", "q.jsonl", "--schema", "question_answer").stdout
    shown = dict(line.split(maxsplit=1) for line in told.splitlines() if line)
    assert shown["Schema"] == "question_answer" and shown["Columns"] == "question, answer, meta"
    assert shown["Rows"] == "2 read, 1 prompt" and shown["Rejected"] == "1: the prompt is empty"
    assert shown["Gold"] == "16"
    assert shown["Student"] == f"reads  <|user|> {QUESTION} <|end|> <|assistant|>"
    assert "ref 14 16 steps" in shown["Teacher"]
    assert not (project.folder / ".qstar" / "store" / "datasets").exists(), "nothing is stored"


def test_a_schema_can_be_asked_for_and_what_cannot_be_used_is_told(
    tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))
    path, store = tmp_path / "both.jsonl", DirectoryStore(tmp_path / "store")
    path.write_text(json.dumps({"messages": [{"role": "user", "content": QUESTION}],
                                "conversations": [{"from": "human", "value": "how"}]}))
    with pytest.raises(DataError, match=r"messages and sharegpt .*--schema"):
        look(Workspace(load_settings(flags={"source.path": str(path)}), store), 10)
    found = look(Workspace(load_settings(flags={"source.path": str(path), "source.adapter": "messages"}), store), 10)
    assert found.shown is not None and found.shown[0].question == QUESTION
    with pytest.raises(DataError, match=r"taken for gsm8k, holds no usable prompt \(.* rows: .*cannot encode"
                       r".* — the built-in models know only the words .* --student\.model and --teacher\.model"):
        look(Workspace(load_settings(flags={"source.path": str(FIXTURES / "gsm8k.jsonl")}), store), 10)


def test_a_line_for_the_terminal_is_one_line_of_printable_signs() -> None:
    shown = one_line("a\x1b[31mred\nb\r\x07 \u202egnol\u200b ü🐄" + "x" * 500, 60)
    assert shown.isprintable() and "\x1b" not in shown and len(shown) <= 64 and "ü🐄" in shown
