"""Schemas with a gold of their own kind: multiple choice (the letter of the choice) and code (a program of tests)."""

from __future__ import annotations

from typing import Any

from qstar_core.config import SourceSettings
from qstar_core.errors import RowError
from qstar_core.records import Prompt
from qstar_core.sources.adapters.base import NOTHING, Adapter, asked, prompt, question, solution, words
from qstar_core.sources.columns import Columns, as_text
from qstar_core.sources.golds import LETTERS, letter

_CHOICES = ("choices", "options")
_KEYS = ("answerkey", "answer_idx", "answer", "label", "gold")


def _rests_on_choices(columns: Columns) -> frozenset[str]:
    found = next((name for name in _CHOICES if isinstance(columns.get(name), dict | list)), None)
    return frozenset({"question", found}) if found and "question" in columns else NOTHING


def _multiple_choice(columns: Columns, settings: SourceSettings) -> Prompt:
    """The choices are part of the question, one a line; the gold is the label of the right one."""
    labels, texts = _choices(next((columns.get(name) for name in _CHOICES if columns.get(name)), None))
    keys = (settings.answer_field.lower(),) if settings.answer_field else _KEYS
    key = next((columns.get(name) for name in keys if as_text(columns.get(name)) is not None), None)
    labels, gold = _lettered(labels, letter(key, labels, texts))
    listed = "\n".join(f"{label}. {text}" for label, text in zip(labels, texts, strict=True))
    return prompt(columns, settings, asked(f"{question(columns, settings, 'question')}\n\n{listed}"),
                  kind="multiple_choice", answer=gold,
                  solution=solution(columns, settings, "solution", "explanation", "rationale"),
                  meta=columns.kept(["subject", "question_concept"])
                  | {"choices": dict(zip(labels, texts, strict=True))})


def _choices(value: Any) -> tuple[list[str], list[str]]:
    """As `{label: […], text: […]}`, `{"A": "…"}` or a plain list, which gets letters."""
    if isinstance(value, dict):
        lowered = {str(key).lower(): inner for key, inner in value.items()}
        if isinstance(lowered.get("text"), list | tuple):
            texts = [as_text(text) for text in lowered["text"]]
            given = lowered.get("label")
            labels = [as_text(label) for label in given] if isinstance(given, list | tuple) else list(LETTERS)
        else:
            labels, texts = [str(key) for key in value], [as_text(text) for text in value.values()]
    else:
        texts = [as_text(text) for text in value] if isinstance(value, list | tuple) else []
        labels = list(LETTERS)
    if labels == list(LETTERS):
        labels = labels[: len(texts)]
    whole_labels, whole_texts = [label for label in labels if label], [text for text in texts if text]
    if len(texts) < 2 or len(whole_labels) != len(whole_texts) or len(whole_texts) != len(texts):
        raise RowError("the choices are missing or incomplete")
    if len({label.casefold() for label in whole_labels}) < len(whole_labels):
        raise RowError("two choices have the same label")
    return whole_labels, whole_texts


def _lettered(labels: list[str], gold: str | None) -> tuple[list[str], str | None]:
    """Labels that are no letters become letters, and the gold with them."""
    if all(label in LETTERS for label in labels) or len(labels) > len(LETTERS):
        return labels, gold
    return list(LETTERS[: len(labels)]), None if gold is None else LETTERS[labels.index(gold)]


def _rests_on_code(columns: Columns) -> frozenset[str]:
    if words("prompt test entry_point") <= columns.names:
        return words("prompt test entry_point")
    text = next((name for name in ("prompt", "text") if name in columns), None)
    return frozenset({text, "test_list"}) if text and "test_list" in columns else NOTHING


def _code(columns: Columns, settings: SourceSettings) -> Prompt:
    """HumanEval and MBPP. The gold is Python that raises where the solution before it is wrong; `meta.entry_point`
    names the function. MBPP's task does not name it, so its first test is shown."""
    task = question(columns, settings, "prompt", "text")
    tests = [text.strip() for text in columns.items("test_list") if isinstance(text, str) and text.strip()]
    whole, entry = columns.get("test"), columns.text("entry_point")
    if tests:
        task = f"{task}\n\nYour code should pass this test:\n{tests[0]}"
        setup = columns.text("test_setup_code") or ""
        imports = [text for text in columns.items("test_imports") if isinstance(text, str)]
        gold = "\n".join(part for part in (*imports, setup, *tests) if part)
    elif isinstance(whole, str) and whole.strip() and entry:
        gold = f"{whole.strip()}\n\ncheck({entry})"
    else:
        raise RowError("the row has no tests")
    return prompt(columns, settings, asked(task), kind="code", answer=gold, solution=_program(columns),
                  meta=columns.kept(["entry_point", "task_id"]))


def _program(columns: Columns) -> str | None:
    """With the blanks that a function body begins with."""
    found = next((text for name in ("canonical_solution", "code") if isinstance(text := columns.get(name), str)), "")
    return found.rstrip() or None


MULTIPLE_CHOICE = Adapter("multiple_choice", _rests_on_choices, words(
    "question choices options answerkey answer_idx answer label gold solution explanation rationale subject "
    "question_concept id"), _multiple_choice)
CODE = Adapter("code", _rests_on_code, words(
    "task_id prompt text code canonical_solution test test_list test_setup_code test_imports challenge_test_list "
    "entry_point source_file"), _code)
