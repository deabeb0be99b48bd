"""Real weights over arithmetic word problems: SmolLM2-135M as its own teacher keeps rows with right answers."""

from __future__ import annotations

import re

import pytest

from qstar_core.sources.arithmetic import arithmetic
from tests.flows.project import Project

PROMPTS = 8


def computed(question: str) -> int:
    """The sum told in the story, from its text alone."""
    total = int(re.search(r" has (\d+) ", question)[1])  # type: ignore[index]
    for verb, amount in re.findall(r"(buys|finds|is given|gives away|loses|sells) (\d+)", question):
        total += int(amount) if verb in {"buys", "finds", "is given"} else -int(amount)
    return total


def stated(completion: str) -> str:
    """Its last number, or nothing."""
    return ["", *re.findall(r"\d+", completion.replace(",", ""))][-1]


def test_the_answers_of_the_problems_are_what_their_stories_tell() -> None:
    assert all(str(computed(prompt.question)) == prompt.answer for prompt in arithmetic(0, 200))


@pytest.mark.slow
def test_smollm2_teaches_itself(project: Project) -> None:
    for name in [name for name in project.env if name.startswith("QSTAR__")]:
        del project.env[name]
    project.run("demo", "--model", "smollm2", "--round.prompts", str(PROMPTS), "--round.shard_size", "16",
                timeout_s=1200)
    rows = project.rows("data/data.jsonl", name="demo-smollm2")
    manifest = project.manifest(name="demo-smollm2")
    questions = {prompt.question for prompt in arithmetic(0, 1000)}
    assert len({row["prompt_id"] for row in rows}) >= 2
    for row in rows:
        asked, said = (turn["content"] for turn in row["messages"])
        question = asked.removesuffix(" Answer in one short sentence.")
        assert question in questions and stated(said) == str(computed(question)) == row["answer"]
        assert "The answer is" not in asked and row["finish_reason"] == "stop"
    wrong = [row for row in project.rows("rejects/rejects.jsonl", name="demo-smollm2") if row["stage"] == "answer"]
    assert len(rows) + len(wrong) <= 2 * PROMPTS
    assert all(stated(row["completion"]) != row["answer"] for row in wrong)
    assert manifest["models"]["student"]["sha256"] == manifest["models"]["teacher"]["sha256"]
