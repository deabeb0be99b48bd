"""Which schema the columns name, when they name several, and how settings override it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError, DataError, RowError
from qstar_core.records import Message, Prompt, Role
from qstar_core.sources.adapters.table import ADAPTERS, adapter_for, columns_of

HI = [{"role": "user", "content": "hi"}]


def schema(row: dict[str, Any], **settings: Any) -> str:
    return adapter_for(SourceSettings(path="test", **settings), [row]).name


def adapt(row: dict[str, Any], **settings: Any) -> Prompt:
    given = SourceSettings(path="test", **settings)
    return adapter_for(given, [row]).adapt(columns_of(row, given), given)


@pytest.mark.parametrize(("row", "name"), [
    ({"messages": []}, "messages"),
    ({"Messages": [], "question": "q"}, "messages"),
    ({"prompt": HI, "completion": HI}, "messages"),
    ({"question": "q", "answer": "a #### 1"}, "gsm8k"),
    ({"QUESTION": "q", "Answer": "a #### 1"}, "gsm8k"),
    ({"problem": "p", "solution": "s", "answer": "1"}, "math"),
    ({"problem": "p", "answer": "1"}, "question_answer"),
    ({"question": "q", "answer": "1"}, "question_answer"),
    ({"messages": "no list", "prompt": "p"}, "question_answer"),
    ({"instruction": "i"}, "question_answer"),
    ({"text": "t", "label": 1}, "text"),
    ({"instruction": "i", "input": "", "output": "o", "text": "all of it"}, "alpaca"),
    ({"question": "q", "choices": ["a", "b"], "answer": 1}, "multiple_choice"),
    ({"question": "q", "options": {"A": "a", "B": "b"}, "answer_idx": "B"}, "multiple_choice"),
    ({"prompt": "p", "chosen": "good", "rejected": "bad"}, "preference"),
    ({"prompt": HI, "reward_model": {"ground_truth": "1"}}, "verl"),
    ({"prompt": HI}, "messages"),
])
def test_the_columns_name_the_schema(row: dict[str, Any], name: str) -> None:
    assert schema(row) == name


@pytest.mark.parametrize(("row", "candidates"), [
    ({"messages": HI, "conversations": HI}, "messages and sharegpt"),
    ({"instruction": "i", "output": "o", "question": "q", "answer": "a"}, "question_answer and alpaca"),
    ({"question": "q", "text": "t"}, "question_answer and text"),
    ({"question": "q", "choices": ["a", "b"], "messages": HI}, "messages and multiple_choice"),
    ({"question": "q", "prompt": "p"}, "question or prompt"),
])
def test_columns_that_can_be_read_in_two_ways_are_an_error_with_the_candidates(
    row: dict[str, Any], candidates: str
) -> None:
    with pytest.raises(DataError, match=candidates):
        schema(row)
    with pytest.raises(DataError, match=r"--schema|source\.prompt_field"):
        schema(row)


@pytest.mark.parametrize("row", [{"messages": HI, "conversations": HI}, {"question": "q", "prompt": "p"}])
def test_a_schema_that_is_asked_for_settles_it(row: dict[str, Any]) -> None:
    for name in ADAPTERS:
        assert schema(row, adapter=name) == name
    with pytest.raises(ConfigError, match=r"source\.adapter = 'nonsense' is unknown .* gsm8k"):
        schema(row, adapter="nonsense")


def test_a_null_in_the_first_row_hides_nothing() -> None:
    rows = [{"messages": None, "id": 1}, {"messages": HI}]
    assert adapter_for(SourceSettings(path="x"), rows).name == "messages"


def test_chosen_columns_win_and_compare_without_case() -> None:
    row = {"question": "no", "Frage": "yes?", "ANTWORT": 4, "answer": "5", "Weg": "so"}
    found = adapt(row, prompt_field="frage", answer_field="Antwort", solution_field="WEG")
    assert (found.question, found.answer, found.solution) == ("yes?", "4", "so")
    for field in ("prompt_field", "answer_field", "solution_field"):
        with pytest.raises(DataError, match=rf"no column 'fragen' among answer, antwort.* source\.{field}"):
            adapt(row, **{field: "fragen"})


def test_a_column_map_names_what_the_schema_expects() -> None:
    row = {"Aufgabe": "p", "weg": r"\boxed{4}", "extra": {"Gold": [{"no": 1}], "gold": ["5"]}, "answer": "not this"}
    found = adapt(row, columns={"problem": "aufgabe", "solution": "Weg", "answer": "extra.gold"})
    assert (found.question, found.answer, found.solution, found.kind) == ("p", "5", r"\boxed{4}", "math")
    assert adapt({"turns": HI, "messages": 3}, columns={"messages": "turns"}).question == "hi"
    for name, told in (("quesion", r"did you mean question\?"), ("zzz", "docs/sources.md")):
        with pytest.raises(ConfigError, match=rf"source\.columns\.{name}: nothing reads .* {told}"):
            adapt({"aufgabe": "q"}, columns={"question": "aufgabe", name: "aufgabe"})
    with pytest.raises(DataError, match=r"no column 'nowhere' .* source\.columns\.question"):
        adapt(row, columns={"question": "nowhere"})


def test_a_template_makes_the_question() -> None:
    row = {"Title": "T", "body": "{{ 7 * 7 }}", "gold": {"value": 3}}
    found = adapt(row, template="{{ title }}: {{ body }}", columns={"answer": "gold.value"})
    assert (found.question, found.answer) == ("T: {{ 7 * 7 }}", "3"), "values are never read as templates"
    with pytest.raises(RowError, match="'titel' is undefined"):
        adapt(row, template="{{ titel }}")
    with pytest.raises(RowError, match="cannot be filled: SecurityError"):
        adapt(row, template="{{ body.__class__.__mro__ }}")
    with pytest.raises(RowError, match="empty"):
        adapt(row, template="{% if false %}x{% endif %}")
    with pytest.raises(ConfigError, match=r"source\.template is not a Jinja template"):
        adapt(row, template="{{ title")
    with pytest.raises(ConfigError, match=r"source\.template makes the question itself"):
        adapt(row, template="{{ title }}", adapter="math")


def test_a_chosen_column_that_a_later_row_lacks() -> None:
    settings = SourceSettings(path="test", prompt_field="q")
    adapter = adapter_for(settings, [{"q": "first"}])
    with pytest.raises(RowError, match="the column q is missing"):
        adapter.adapt(columns_of({"question": "other"}, settings), settings)


def test_kind_and_meta_come_from_the_row_and_the_setting_wins() -> None:
    row = {"question": "q", "Kind": "sum", "META": {"level": 3}}
    assert (adapt(row).kind, adapt(row).meta, adapt(row, kind="x").kind) == ("sum", {"level": 3}, "x")
    assert adapt({"question": "q", "kind": 3, "meta": [1]}).kind == "question"
    assert adapt({"question": "q", "meta": "text"}).meta == {}


def test_meta_is_what_a_file_can_hold() -> None:
    found = adapt({"question": "q", "meta": {"a": float("nan"), "b": b"x", "c": (1, [2.5])}}).meta
    assert found == {"a": None, "b": "b'x'", "c": [1, [2.5]]} and json.dumps(found)
    deep: Any = 1
    for _ in range(50):
        deep = [deep]
    with pytest.raises(RowError, match="nested deeper"):
        adapt({"question": "q", "meta": {"a": deep}})


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
    ({"problem": "p", "solution": r"\boxed{1}", "answer": "Proof"}, None),
])
def test_math(row: dict[str, Any], answer: str | None) -> None:
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
    split = adapt({"prompt": turns(("user", "q"))["messages"], "completion": turns(("assistant", "r"))["messages"]})
    assert (split.question, split.solution) == ("q", "r")


@pytest.mark.parametrize(("row", "reason"), [
    (turns(("user", None)), "a message has no text"),
    (turns(("user", [])), "a message has no text"),
    (turns(("user", [{"type": "audio"}])), "a part that is no text"),
    (turns(("robot", "q")), "a known role or a text"),
    (turns((None, "q")), "a known role or a text"),  # type: ignore[arg-type]
    (turns(("user", {"a": 1})), "a known role or a text"),
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


@pytest.mark.parametrize(("key", "gold"), [
    ("b", "B"), ("(B)", "B"), (1, "B"), ("barn", "B"), ("BARN", "B"), ("", None), (None, None), (0, "A")])
def test_the_gold_of_a_choice_is_its_letter(key: Any, gold: str | None) -> None:
    assert adapt({"question": "q", "choices": ["bank", "barn"], "answer": key}).answer == gold


@pytest.mark.parametrize("key", [2, -1, "C", "cow", 1.5])
def test_a_key_that_names_no_choice_is_a_reject(key: Any) -> None:
    with pytest.raises(RowError, match="names none of the choices"):
        adapt({"question": "q", "choices": ["bank", "barn"], "answer": key})


def test_the_same_question_has_the_same_id_whichever_family_it_comes_from() -> None:
    plain = Prompt.of((Message(role=Role.USER, content="q"),), answer="8")
    assert adapt({"question": "q", "answer": "way #### 8"}).id == plain.id
    assert adapt({"problem": "q", "solution": r"\boxed{8}"}).id == plain.id
    assert adapt(turns(("user", "q")) | {"answer": "8"}).id == plain.id
    assert adapt({"query": "q", "response": "The answer is: 8"}).id == plain.id
