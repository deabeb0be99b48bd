"""lm-evaluation-harness as a program: a stand-in of the same name that writes what it writes."""

from __future__ import annotations

import json
import math
import sys

import pytest

from qstar_core.configload import load_settings
from qstar_core.errors import ConfigError, DataError, EngineError
from qstar_core.evaluation.harness import harness_measures, read_results
from qstar_core.records import ModelRef

RESULTS = {
    "results": {"arc": {"alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 0.6,
                        "acc_norm_stderr,none": "N/A"},
                "gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.25,
                          "exact_match_stderr,strict-match": 0.05}},
    "n-samples": {"arc": {"original": 100, "effective": 25}, "gsm8k": {"original": 8, "effective": 8}},
}
PROGRAM = """#!{python}
import json, pathlib, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
pathlib.Path("{told}").write_text(json.dumps(arguments))
if "broken" in arguments["--tasks"]:
    sys.exit("Tasks not found: broken")
if "nothing" not in arguments["--tasks"]:
    folder = pathlib.Path(arguments["--output_path"], "some__model")
    folder.mkdir()
    (folder / "results_2026-01-01T00-00-00.json").write_text('''{results}''')
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    path = tmp_path / "bin" / "lm_eval"
    path.parent.mkdir()
    path.write_text(PROGRAM.format(python=sys.executable, told=tmp_path / "told.json", results=json.dumps(RESULTS)))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    return tmp_path / "told.json"


def run(tmp_path, *tasks):
    model = ModelRef(name="m", path=str(tmp_path), revision=None, sha256="0" * 64)
    return harness_measures(model, load_settings(flags={"evaluation.harness": list(tasks), "engine.device": "cpu"}))


def test_its_results_become_measures(program, tmp_path):
    found = {measure.name: measure for measure in run(tmp_path, "arc", "gsm8k")}
    assert set(found) == {"lm-eval/arc/acc", "lm-eval/arc/acc_norm", "lm-eval/gsm8k/exact_match,strict-match"}
    acc = found["lm-eval/arc/acc"]
    assert (acc.value, acc.n) == (0.5, 25)
    assert (acc.low, acc.high) == pytest.approx((0.5 - 0.196, 0.5 + 0.196), abs=1e-3)
    assert found["lm-eval/arc/acc_norm"].low is None
    told = json.loads(program.read_text())
    assert told["--tasks"] == "arc,gsm8k" and told["--model_args"].startswith(f"pretrained={tmp_path}")


def test_its_failures_are_one_line(program, tmp_path):
    with pytest.raises(EngineError, match="Tasks not found: broken"):
        run(tmp_path, "broken")
    with pytest.raises(EngineError, match="wrote no results"):
        run(tmp_path, "nothing")


def test_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(tmp_path) == ()
    with pytest.raises(ConfigError, match=r"lm_eval is not installed — pip install"):
        run(tmp_path, "arc")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": {"a": [1]}}'])
def test_what_cannot_be_read(text):
    with pytest.raises(DataError, match="cannot be read"):
        read_results(text, 0.95)


def test_a_result_that_is_no_number():
    with pytest.raises(DataError, match="lm-eval/a/acc is nan"):
        read_results(json.dumps({"results": {"a": {"acc,none": math.nan}}}), 0.95)
