"""The join on disk gives back every draw with what each file tells of it, whatever the order and the text."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import DataError
from qstar_core.selection.draws import pass_rate
from qstar_core.selection.table import DrawTable
from tests.selection.drawing import draw_of

PROMPT = [{"role": "user", "content": "how many \x00 ?"}]


def kept(index: int, prompt: str, text: str) -> dict[str, Any]:
    return {"messages": [*PROMPT, {"role": "assistant", "content": text}], "sample_idx": index,
            "sample_id": f"s{index}", "prompt_id": prompt, "kind": "story", "source": "here", "answer": "12"}


def reject(index: int, prompt: str, text: str, **values: Any) -> dict[str, Any]:
    told = {"stage": "answer", "reason": "wrong answer", "outcome": "dropped", "sample_idx": index, "prompt_id": prompt,
            "sample_id": f"s{index}", "answer": "12", "completion": text, "source": "here"}
    return told | values


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("pqr"), st.text(max_size=6)), max_size=20), st.randoms())
def test_every_draw_comes_back_with_its_prompt(told: list[tuple[bool, str, str]], random: Any) -> None:
    rows = [(good, kept(i, p, text) if good else reject(i, p, text)) for i, (good, p, text) in enumerate(told)]
    random.shuffle(rows)
    with tempfile.TemporaryDirectory() as folder, DrawTable(Path(folder) / "t.sqlite", "score") as table:
        for good, row in rows:
            (table.add_kept if good else table.add_reject)(row)
            table.add_diagnostics({"sample_id": row["sample_id"], "tokens": 4, "logq_sum": -2.0 * row["sample_idx"],
                                   "logp_t_sum": None, "alpha_mean": 0.5})
        found = list(table.prompts())
    assert [draws[0].prompt_id for draws in found] == sorted({p for _, p, _ in told})
    flat = {draw.position: draw for draws in found for draw in draws}
    assert len(flat) == len(told)
    for i, (good, prompt, text) in enumerate(told):
        draw = flat[i]
        assert (draw.kept, draw.prompt_id, draw.completion, draw.answer) == (good, prompt, text, "12")
        assert (draw.logq, draw.logp_t, draw.alpha) == (-0.5 * i, None, 0.5)
        shared = any(g and p == prompt for g, p, _ in told)
        assert draw.prompt == (tuple(PROMPT) if shared else None) and draw.kind == ("story" if shared else "")


def test_rows_without_a_prompt_and_failed_samples_are_no_draws(tmp_path: Path) -> None:
    with DrawTable(tmp_path / "t.sqlite", "score") as table:
        table.add_reject(reject(0, "p", "", sample_id=None))
        table.add_reject(reject(1, "p", "", outcome="failed"))
        table.add_reject(reject(2, "p", "half \ud800") | {"prompt": PROMPT})
        assert [[draw.completion for draw in draws] for draws in table.prompts()] == [["half \ud800"]]


def test_a_score_is_read_from_either_file_and_must_be_a_number(tmp_path: Path) -> None:
    with DrawTable(tmp_path / "t.sqlite", "reward") as table:
        table.add_kept(kept(0, "p", "a") | {"reward": 0.25})
        table.add_kept(kept(1, "p", "b"))
        table.add_diagnostics({"sample_id": "s1", "tokens": None, "logq_sum": None, "logp_t_sum": None,
                               "alpha_mean": None, "reward": 3})
        assert [draw.score for draws in table.prompts() for draw in draws] == [0.25, 3]
        with pytest.raises(DataError, match="'high', not a number"):
            table.add_kept(kept(2, "p", "c") | {"reward": "high"})


def test_the_pass_rate_needs_enough_draws_and_a_gold_answer() -> None:
    right, wrong, open_ = draw_of(0, "answer 12"), draw_of(1, "answer 13", kept=False), draw_of(2, "12", answer=None)
    assert pass_rate([right, right, wrong, wrong], 4) == 0.5
    assert pass_rate([right, wrong], 4) is None and pass_rate([right, open_], 1) is None
