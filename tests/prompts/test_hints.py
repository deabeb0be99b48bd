"""Which hint and which reply prefix a prompt gets, and that neither carries the answer to the student."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import PromptSettings
from qstar_core.errors import ConfigError, RowError
from qstar_core.hints import STYLES
from qstar_core.prompts import PromptRenderer, check_templates, holds
from qstar_core.records import Message, Prompt, Role
from qstar_core.sources.arithmetic import arithmetic
from qstar_core.sources.reading import read_source
from tests.prompts.test_prompts import WordTemplate, prompt, render
from tests.sources.test_families import FAMILIES, FIXTURES, SourceSettings

ALL = {"hints": tuple(STYLES), "teacher": "plain {{ question }}"}


def asked(number: int, **changes: Any) -> Prompt:
    return prompt(("user", f"question {number} ?"), **changes)


def knowing(**settings: Any) -> PromptRenderer:
    """Whose tokenizer knows every word."""
    template = WordTemplate()
    template.unknown_id = None
    return PromptRenderer(PromptSettings(**settings), template, template, 10**6)


def styles_drawn(count: int, **changes: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    renderer = knowing(**ALL)
    for number in range(count):
        text = renderer.render(asked(number, **changes)).teacher_text
        marks = {"answer": "The correct answer is", "check": "should be", "solution": "A worked", "reply": "good reply"}
        found[next((name for name, mark in marks.items() if mark in text),
                   "plain" if "plain" in text else "none")] += 1
    return found


def test_every_style_that_a_prompt_can_fill_is_drawn_about_as_often() -> None:
    found = styles_drawn(500)
    assert set(found) == set(STYLES) and min(found.values()) > 60
    assert set(styles_drawn(60, solution=None)) == {"none", "answer", "check"}
    assert set(styles_drawn(60, answer=None)) == {"none", "solution", "reply"}
    assert set(styles_drawn(60, kind="code")) == {"none", "solution", "reply"}, "tests are no answer to tell"


def test_a_prompt_that_no_hint_fits_gets_the_plain_template() -> None:
    bare = asked(1, answer=None, solution=None)
    assert "plain question" in render(bare, hints=("answer", "solution"), teacher="plain {{ question }}").teacher_text
    assert "only" in render(bare, hints=("answer", "only {{ question }}")).teacher_text


def test_a_draw_depends_on_the_prompt_alone() -> None:
    for number in range(20):
        first, again = (render(asked(number), **ALL, context=10**6) for _ in range(2))
        assert first == again


def test_a_hint_of_ones_own_is_checked_like_a_template() -> None:
    with pytest.raises(ConfigError, match=r"prompts\.hints\.1: 'anwser' is undefined"):
        check_templates(PromptSettings(hints=("answer", "{{ anwser }}")))
    with pytest.raises(ConfigError, match=r"prompts\.hints\.0 is not a Jinja template"):
        check_templates(PromptSettings(hints=("{{ answer",)))
    check_templates(PromptSettings(hints=tuple(STYLES)))


def test_a_reply_prefix_ends_both_prompts_alike() -> None:
    prefixes = ("Let's think step by step.", "First,")
    drawn = set()
    for number in range(40):
        pair = render(asked(number), reply_prefixes=prefixes, hints=("answer",), context=10**6)
        assert pair.student_text.endswith(pair.reply_prefix) and pair.teacher_text.endswith(pair.reply_prefix)
        assert pair.student_messages[-1].role is Role.USER, "the reply is none of the prompt's messages"
        drawn.add(pair.reply_prefix)
    assert drawn == set(prefixes)
    assert render(asked(1)).reply_prefix == ""


def occurrences(answer: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(answer.casefold())}(?!\w)", text.casefold()))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_student_reads_the_gold_only_where_the_question_says_it(family: str) -> None:
    """Of every family, whatever the hints: the student's text holds no more golds and solutions than the dataset's
    own conversation."""
    renderer = knowing(hints=("answer", "check", "solution", "reply"), reply_prefixes=("Let's think step by step.",))
    for read in read_source(SourceSettings(path=str(FIXTURES / f"{family}.jsonl"))):
        if read.prompt is None:
            continue
        pair = renderer.render(read.prompt)
        conversation = "\n".join(turn.content for turn in read.prompt.messages)
        for secret in filter(None, (read.prompt.answer, read.prompt.solution)):
            assert occurrences(secret, pair.student_text) <= occurrences(secret, conversation)
            assert all(turn.content in conversation for turn in pair.student_messages)
        if read.prompt.solution or (read.prompt.answer and read.prompt.kind != "code"):
            assert pair.teacher_text != pair.student_text


@given(seed=st.integers(0, 10**6))
def test_a_hinted_answer_never_reaches_the_student(seed: int) -> None:
    renderer = knowing(hints=("answer", "check", "solution", "reply"), reply_prefixes=("So",))
    for made in arithmetic(seed, 5):
        marked = made.model_copy(update={"answer": "GOLD", "solution": "WAY GOLD"})
        pair = renderer.render(marked)
        assert "GOLD" not in pair.student_text and "GOLD" in pair.teacher_text


@pytest.mark.parametrize(("text", "answer", "found"), [
    ("a 7 b", "7", True), ("17 and 70", "7", False), ("is it  New\nYork?", "new york", True), ("x", "", False),
    ("cost $7.", "7", True), ("\\frac{1}{2}", "\\frac{1}{2}", True), ("axb", "a.b", False),
])
def test_an_answer_occurs_as_whole_words(text: str, answer: str, found: bool) -> None:
    assert holds(text, answer) is found


def test_an_answer_in_the_question_is_kept_unless_it_is_to_be_dropped() -> None:
    said = prompt(("user", "is seven odd ?"), answer="Seven")
    assert render(said).student_text
    with pytest.raises(RowError, match="the question contains the answer"):
        render(said, answer_in_question="drop")
    assert render(prompt(("user", "how many ?"), answer="7"), answer_in_question="drop").student_text
    earlier = prompt(("user", "one"), ("assistant", "it is seven"), ("user", "two"), answer="seven")
    with pytest.raises(RowError, match="the question contains the answer"):
        render(earlier, answer_in_question="drop")


def test_a_kind_that_gives_the_answer_away_is_refused_where_the_student_reads_it() -> None:
    told = prompt(("user", "how many ?"), answer="7", kind="sums to 7")
    assert render(told).student_text
    with pytest.raises(RowError, match="the kind holds the answer"):
        render(told, student="{{ kind }}: {{ question }}")


def test_half_of_a_surrogate_pair_is_a_reason_of_its_own() -> None:
    for broken in (prompt(("user", "a \ud800")), prompt(answer="\udc00"), prompt(meta={"a": ["\udfff"]}),
                   prompt(solution="\ud83d")):
        with pytest.raises(RowError, match="half of a surrogate pair"):
            render(broken)


def test_a_conversation_keeps_its_turns_on_both_sides() -> None:
    talk = Prompt.of(tuple(Message(role=Role(role), content=text) for role, text in (
        ("user", "one"), ("assistant", "a"), ("user", "two"))), answer="42")
    pair = render(talk, hints=("answer",), context=10**6)
    assert pair.student_text == "<|user|> one <|end|> <|assistant|> a <|end|> <|user|> two <|end|>"
    assert pair.teacher_text.startswith("<|user|> one <|end|> <|assistant|> a <|end|> <|user|> two\n\nThe correct")
