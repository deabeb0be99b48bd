"""How rows of the known dataset families become prompts."""

from __future__ import annotations

from typing import Any

import pytest

from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError, DataError, RowError
from qstar_core.records import Message, Prompt, Role
from qstar_core.sources.adapters import ADAPTERS, adapter_for


def adapt(row: dict[str, Any], **settings: Any) -> Prompt:
    given = SourceSettings(path="test", **settings)
    return adapter_for(given, row)[1](row, given)


@pytest.mark.parametrize(("row", "name"), [
    ({"messages": []}, "messages"),
    ({"Messages": [], "question": "q"}, "messages"),
    ({"question": "q", "answer": "a #### 1"}, "gsm8k"),
    ({"QUESTION": "q", "Answer": "a #### 1"}, "gsm8k"),
    ({"problem": "p", "solution": "s", "answer": "1"}, "math"),
    ({"problem": "p", "answer": "1"}, "question_answer"),
    ({"question": "q", "answer": "1"}, "question_answer"),
    ({"messages": "no list", "prompt": "p"}, "question_answer"),
    ({"instruction": "i"}, "question_answer"),
])
def test_the_columns_name_the_adapter(row: dict[str, Any], name: str) -> None:
    assert adapter_for(SourceSettings(), row)[0] == name


def test_an_adapter_that_is_asked_for_is_taken() -> None:
    for name in ADAPTERS:
        assert adapter_for(SourceSettings(adapter=name), {})[0] == name
    with pytest.raises(ConfigError, match=r"source\.adapter = 'alpaca' is unknown .* gsm8k"):
        adapter_for(SourceSettings(adapter="alpaca"), {})


def test_chosen_columns_win_and_compare_without_case() -> None:
    row = {"question": "no", "Frage": "yes?", "ANTWORT": 4, "answer": "5", "Weg": "so"}
    found = adapt(row, prompt_field="frage", answer_field="Antwort", solution_field="WEG")
    assert (found.question, found.answer, found.solution) == ("yes?", "4", "so")
    with pytest.raises(DataError, match=r"no column 'fragen' among ANTWORT"):
        adapt(row, prompt_field="fragen")


def test_a_chosen_column_that_a_later_row_lacks() -> None:
    settings = SourceSettings(prompt_field="q")
    adapter = adapter_for(settings, {"q": "first"})[1]
    with pytest.raises(RowError, match="the column q is missing"):
        adapter({"question": "other"}, settings)


def test_kind_and_meta_come_from_the_row_and_the_setting_wins() -> None:
    row = {"question": "q", "Kind": "sum", "META": {"level": 3}}
    assert (adapt(row).kind, adapt(row).meta, adapt(row, kind="x").kind) == ("sum", {"level": 3}, "x")
    assert adapt({"question": "q", "kind": 3, "meta": [1]}).kind == "question"
    assert adapt({"question": "q", "meta": "text"}).meta == {}


@pytest.mark.parametrize(("worked", "answer", "solution"), [
    ("She has 4+4=<<4+4=8>>8 eggs.\n#### 8", "8", "She has 4+4=8 eggs."),
    ("Big <<1000*2=2000>>sum #### 2,000", "2000", "Big sum"),
    ("a #### 1 b #### -3.5 ", "-3.5", "a #### 1 b"),
    ("broken <<mark #### 5", "5", "broken <<mark"),
    ("#### $1,234,567", "$1234567", ""),
])
def test_gsm8k(worked: str, answer: str, solution: str) -> None:
    found = adapt({"question": "q", "answer": worked}, adapter="gsm8k")
    assert (found.answer, found.solution) == (answer, solution)


@pytest.mark.parametrize(("row", "reason"), [
    ({"question": "q", "answer": "no mark"}, "no #### mark"),
    ({"question": "q", "answer": "and then #### "}, "nothing follows"),
    ({"question": "q"}, "answer is missing"),
    ({"question": "", "answer": "#### 1"}, "the prompt is empty"),
    ({"answer": "#### 1"}, "question is missing"),
])
def test_gsm8k_rows_that_cannot_be_used(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        adapt(row, adapter="gsm8k")


@pytest.mark.parametrize(("row", "answer"), [
    ({"problem": "p", "solution": r"so \boxed{42}."}, "42"),
    ({"problem": "p", "solution": r"\boxed{1} then \boxed{\frac{1}{\sqrt{2}}}"}, r"\frac{1}{\sqrt{2}}"),
    ({"problem": "p", "solution": r"\boxed{1}", "answer": "2"}, "2"),
    ({"problem": "p", "solution": r"\boxed{1}", "answer": None}, "1"),
    ({"problem": "p", "solution": r"\boxed{1}", "answer": " "}, "1"),
    ({"Problem": "p", "Solution": "s", "Answer": 7}, "7"),
])
def test_math(row: dict[str, Any], answer: str) -> None:
    found = adapt(row)
    assert (found.question, found.answer) == ("p", answer)


@pytest.mark.parametrize("solution", ["nothing boxed", r"\boxed{never closed", r"\boxed{}", r"\boxed{ }", None, ""])
def test_a_math_row_without_an_answer_is_refused(solution: str | None) -> None:
    with pytest.raises(RowError, match="no answer"):
        adapt({"problem": "p", "solution": solution}, adapter="math")


def turns(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


def test_a_conversation_ends_with_its_last_question_and_the_reply_is_the_solution() -> None:
    row = turns(("system", "be kind"), ("user", "one"), ("assistant", "a"), ("user", "two"), ("assistant", "b"))
    found = adapt(row | {"answer": 5})
    assert [turn.role.value for turn in found.messages] == ["system", "user", "assistant", "user"]
    assert (found.question, found.solution, found.answer, found.kind) == ("two", "b", "5", "chat")
    assert adapt(turns(("user", "alone"))).solution is None


def test_the_messages_column_compares_without_case() -> None:
    asked = [{"role": "user", "content": "q"}]
    assert adapt({"Messages": asked}).question == "q"
    assert adapt({"Turns": asked}, adapter="messages", prompt_field="turns").question == "q"


@pytest.mark.parametrize(("row", "reason"), [
    (turns(("user", None)), "a known role or a text"),
    (turns(("user", [{"type": "text", "text": "part"}])), "a known role or a text"),
    (turns(("user", "q"), ("assistant", None)), "a known role or a text"),
    (turns(("robot", "q")), "a known role or a text"),
    ({"messages": [{"role": "user"}]}, "a known role or a text"),
    ({"messages": ["text", 3, None]}, "a known role or a text"),
    ({"messages": []}, "missing or empty"),
    ({"messages": None}, "missing or empty"),
    ({"messages": "text"}, "missing or empty"),
    ({}, "missing or empty"),
    (turns(("system", "s"), ("assistant", "a")), "no user message"),
])
def test_conversations_that_cannot_be_used(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        adapt(row, adapter="messages")


def test_the_same_question_has_the_same_id_whichever_family_it_comes_from() -> None:
    plain = Prompt.of((Message(role=Role.USER, content="q"),), answer="8")
    assert adapt({"question": "q", "answer": "way #### 8"}).id == plain.id
    assert adapt({"problem": "q", "solution": r"\boxed{8}"}).id == plain.id
    assert adapt(turns(("user", "q")) | {"answer": "8"}).id == plain.id
