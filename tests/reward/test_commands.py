"""`qstar reward score` and `report` as a user runs them; training is in tests/flows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.commands.reward import reward
from qstar_core.errors import ConfigError, DataError, NotFoundError
from qstar_core.reward.calibration import read_calibration
from qstar_core.reward.model import load_reward_model
from tests.reward.models import asked, checkpoint


def run(*arguments: str) -> Result:
    return CliRunner().invoke(reward, arguments, catch_exceptions=False)


def test_replies_are_scored_and_their_rows_kept(tmp_path: Path) -> None:
    folder, rows, out = checkpoint(tmp_path / "model"), tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    talk = [{"role": "user", "content": "sort 7 3 12"}]
    reply = {"role": "assistant", "content": "answer 3"}
    forms = [{"id": 1, "messages": [*talk, reply]}, {"id": 2, "prompt": talk, "completion": [reply]},
             {"id": 3, "prompt": talk, "completion": "answer 3"}, {"prompt": "sort 7 3 12", "completion": "answer 3"}]
    rows.write_text("".join(json.dumps(row) + "\n" for row in forms), encoding="utf-8")
    assert "4 replies" in run("score", str(folder), str(rows), "--output", str(out)).output
    found = [json.loads(line) for line in out.read_text().splitlines()]
    score = load_reward_model(str(folder), "cpu").score([asked()], ["answer 3"])[0]
    assert [row.pop("reward") for row in found] == [score] * 4 and found == forms


@pytest.mark.parametrize("row", ['{"prompt": "a"}', '{"messages": [{"role": "user", "content": "a"}]}', "[1]", "{",
                                 '{"prompt": "a", "completion": ""}'])
def test_a_row_without_a_reply_is_named_and_nothing_is_written(tmp_path: Path, row: str) -> None:
    folder, rows, out = checkpoint(tmp_path / "model"), tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text(f'{{"prompt": "sort 1", "completion": "1"}}\n{row}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"row 1"):
        run("score", str(folder), str(rows), "--output", str(out))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["rows.jsonl"]


def test_the_file_that_is_read_is_not_overwritten(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    with pytest.raises(ConfigError, match="overwrite"):
        run("score", "model", str(rows), "--output", str(rows))


def test_a_report_can_keep_its_calibration(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    told = run("report", str(folder), "--pairs", "builtin:corruptions-unseen", "--limit", "60", "--save").output
    assert "carried_error" in told and "Same length" in told and "config.json" in told
    found = read_calibration(folder)
    assert found is not None and found.pairs == 60
    with pytest.raises(ConfigError, match="no folder"):
        run("report", "store:reward", "--save")
    with pytest.raises(NotFoundError, match="no checkpoint"):
        run("report", "store:reward")
