"""Every form in which preferences come gives the prompt, both replies, and the margin where there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import DataError
from qstar_core.recipes import RewardSettings
from qstar_core.reward.corruptions import SEEN, UNSEEN
from qstar_core.reward.reading import read_pairs
from tests.reward.models import asked

USER = {"role": "user", "content": "sort 2 1"}
GOOD, BAD = {"role": "assistant", "content": "1 2"}, {"role": "assistant", "content": "2 1"}

FORMS: dict[str, dict[str, Any]] = {
    "TRL, and this project's exports": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "UltraFeedback, binarised": {"prompt": "sort 2 1", "chosen": [USER, GOOD], "rejected": [USER, BAD],
                                 "score_chosen": 8.5, "score_rejected": 6},
    "HH-RLHF": {"chosen": "\n\nHuman: sort 2 1\n\nAssistant: 1 2", "rejected": "\n\nHuman: sort 2 1\n\nAssistant: 2 1"},
    "texts": {"prompt": "sort 2 1", "chosen": "1 2", "rejected": "2 1", "margin": 0.5},
    "replies to a text": {"prompt": "sort 2 1", "chosen": [GOOD], "rejected": [BAD]},
    "a conversation and texts": {"prompt": [USER], "chosen": "1 2", "rejected": "2 1"},
    "UltraFeedback, as collected": {"instruction": "sort 2 1", "completions": [
        {"response": "2 1", "overall_score": 3.0}, {"response": "12", "overall_score": 7.0},
        {"response": "1 2", "overall_score": 9.5}, {"response": "", "overall_score": 10}]},
}
MARGINS = {"UltraFeedback, binarised": 2.5, "texts": 0.5, "UltraFeedback, as collected": 6.5}


def read(path: Path, *rows: dict[str, Any]) -> Any:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_pairs(RewardSettings(pairs=str(path)))


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_understood(tmp_path: Path, form: str) -> None:
    found = read(tmp_path / "rows.jsonl", FORMS[form])
    assert [(one.prompt, one.chosen, one.rejected, one.margin) for one in found.pairs] == [
        (asked("sort 2 1"), "1 2", "2 1", MARGINS.get(form))]


@pytest.mark.parametrize(("row", "reason"), [
    ({"prompt": "sort 2 1", "chosen": "1 2"}, "missing"),
    ({"prompt": "sort 2 1", "chosen": "1 2", "rejected": None}, "missing"),
    ({"chosen": [USER, GOOD], "rejected": [{"role": "user", "content": "other"}, BAD]}, "different questions"),
    ({"prompt": "sort 2 1", "chosen": "1 2", "rejected": "2 1", "margin": "much"}, "no number"),
    ({"instruction": "sort 2 1", "completions": [{"response": "2 1", "overall_score": 3}]}, "rated differently"),
    ({"chosen": "no marks", "rejected": "at all"}, "share no question"),
])
def test_a_row_without_a_pair_is_dropped_with_its_reason(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    found = read(tmp_path / "rows.jsonl", FORMS["HH-RLHF"], row)
    assert len(found.pairs) == 1 and len(found.dropped) == 1
    assert reason in next(iter(found.dropped))


def test_an_exported_folder_is_read_as_its_card_says(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
                                        "    path: train/*.jsonl\n---\n")
    (tmp_path / "train" / "00000-ab.jsonl").write_text(json.dumps(FORMS["TRL, and this project's exports"]) + "\n")
    (tmp_path / "export.json").write_text("{}")
    found = read_pairs(RewardSettings(pairs=str(tmp_path)))
    assert [(one.prompt, one.chosen) for one in found.pairs] == [(asked("sort 2 1"), "1 2")]


def test_a_file_of_chosen_replies_alone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pair to learn from: 2 the chosen or the rejected reply is missing"):
        read(tmp_path / "rows.jsonl", *[{"prompt": "sort 2 1", "chosen": "1 2"}] * 2)


def test_the_built_in_ones_and_those_kept_out_share_neither_faults_nor_stream() -> None:
    settings = RewardSettings(limit=50)
    seen, unseen = read_pairs(settings), read_pairs(settings, "builtin:corruptions-unseen")
    assert {one.kind for one in seen.pairs} <= set(SEEN) and {one.kind for one in unseen.pairs} <= set(UNSEEN)
    assert len(seen.pairs) == len(unseen.pairs) == 50
    assert [one.prompt for one in seen.pairs] != [one.prompt for one in unseen.pairs]
    with pytest.raises(DataError, match="unknown"):
        read_pairs(settings, "builtin:poems")
