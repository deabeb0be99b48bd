"""Verification by kind: formulas, choices, exact texts, patterns. A verifier that hangs is an error, never wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.answers import choice_letter, is_choice
from qstar_core.filters.answer import AnswerFilter, AnswerOptions
from qstar_core.filters.base import Candidate, Judgement
from qstar_core.filters.context import NO_CONTEXT
from qstar_core.filters.verifier import Equality, Verifier, as_latex, is_mathematics, same_mathematics
from tests.filters.candidates import candidate

CHOICES = "Which is a fruit?\nA. stone\nB. apple\nC. door"
# The tower is computed in one call into C, where signal.alarm is not heard.
HANGS = r"\binom{10^{9}}{5 \cdot 10^{8}}"


@pytest.fixture(scope="module")
def shared() -> Iterator[AnswerFilter]:
    judge = AnswerFilter(AnswerOptions(), NO_CONTEXT)  # type: ignore[call-arg]
    yield judge
    judge.close()


@pytest.mark.parametrize(("completion", "gold", "reason"), [
    (r"so \boxed{\frac{1}{2}}", "0.5", None),
    (r"so \boxed{0.5}", r"\frac{1}{2}", None),
    (r"so \boxed{0.5}", r"$\frac{1}{2}$", None),
    (r"so \boxed{\frac{2}{4}}", "1/2", None),
    (r"so \boxed{\frac{1}{3}}", "1/2", "wrong answer"),
    (r"so \boxed{x^2+2x+1}", r"(x+1)^2", None),
    (r"so \boxed{2\sqrt{2}}", r"\sqrt{8}", None),
    (r"so \boxed{(3, 4)}", r"(3,4)", None),
    (r"so \boxed{(4, 3)}", r"(3,4)", "wrong answer"),
    (r"so \boxed{\{1, 2\}}", r"\{2,1\}", None),
    (r"so \boxed{50\%}", "0.5", None),
    ("The answer is 16/2.", "8", None),
    ("The answer is $16$.", "8", "wrong answer"),
    ("The answer is listen.", "silent", "wrong answer"),
    ("The answer is London (UK).", "Paris (France)", "wrong answer"),
    ("nothing", r"\frac{1}{2}", "no answer"),
    (r"so \boxed{\frac{1}{}", r"\frac{1}{2}", "wrong answer"),
])
def test_answers_are_compared_as_mathematics(shared: AnswerFilter, completion: str, gold: str,
                                             reason: str | None) -> None:
    assert shared.judge(candidate(completion, gold)) == reason


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([r"\frac{1}{2}", "1/2", "x^2+1", r"(3,4)", r"\sqrt{8}", "8", "Paris"]),
       st.sampled_from([r"\frac{2}{4}", "0.5", "1+x^2", r"(3, 4)", r"2\sqrt{2}", "8.0", "paris"]),
       st.text(" \n\t", max_size=4), st.text(" \n\t", max_size=4))
def test_white_space_around_answers_changes_nothing(gold: str, given_: str, before: str, after: str) -> None:
    plain, padded = (_verdict(rf"so \boxed{{{text}}}", gold_) for text, gold_ in
                     ((given_, gold), (before + given_ + after, before + gold + after)))
    assert plain == padded


def _verdict(completion: str, gold: str) -> Equality | Judgement:
    """In this process, so that hypothesis may ask often."""
    judge = AnswerFilter(AnswerOptions(), NO_CONTEXT)  # type: ignore[call-arg]
    reason, formula = judge._compare(candidate(gold=gold).prompt, completion)
    return reason if formula is None else same_mathematics(*formula, 5)


@pytest.mark.parametrize(("given_", "gold", "asked"), [
    (r"\frac{1}{2}", "0.5", True), ("1/2", "2", True), ("x+1", "x", True), ("5%", "5", True), ("8", "9", False),
    ("3 7 12", "3 12 7", False), ("20 + 5", "25", False), ("Paris", "Rome", False), ("(Paris)", "(Rome)", False),
    (r"\sin x", r"\cos x", True), ("yes", "no", False),
])
def test_only_formulas_are_handed_on(given_: str, gold: str, asked: bool) -> None:
    assert is_mathematics(given_, gold) is asked


def test_bare_latex_is_put_between_dollars() -> None:
    assert as_latex(r" \frac{1}{2}. ") == r"$\frac{1}{2}$"
    assert as_latex("$1$") == "$1$" and as_latex(r"\(1\)") == r"\(1\)"
    assert as_latex("the value 5") == "the value 5" and as_latex(r"5\text{ meters}") == r"$5\text{ meters}$"


def test_a_verifier_that_hangs_is_killed_and_counted_as_an_error() -> None:
    judge = AnswerFilter(AnswerOptions(timeout=1), NO_CONTEXT)  # type: ignore[call-arg]
    try:
        since = time.monotonic()
        found = judge.judge_many([candidate(rf"\boxed{{{text}}}")
                                  for text in (r"\frac{16}{2}", HANGS, r"\frac{9}{2}", r"\frac{24}{3}")])
        assert list(found) == [None, "verifier error", "wrong answer", None]
        assert time.monotonic() - since < 40
    finally:
        judge.close()


def hang(*_: Any) -> Equality:
    """Deaf to signal.alarm, like arithmetic inside of C."""
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(60)
    return Equality.DIFFERENT


def die(*_: Any) -> Equality:
    os._exit(1)


@pytest.mark.parametrize("fate", [hang, die])
def test_a_worker_that_is_deaf_or_dies_takes_nothing_with_it(fate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier(1, 1, 4096)
    try:
        assert verifier.compare([("1/2", "0.5")]) == [Equality.SAME]
        with monkeypatch.context() as patch:
            patch.setattr("qstar_core.filters.verifier.same_mathematics", fate)
            since = time.monotonic()
            assert verifier.compare([("1/2", "0.5")]) == [Equality.ERROR]
            assert time.monotonic() - since < 20
        assert verifier.compare([("1/2", "0.5"), ("1/3", "0.5")]) == [Equality.SAME, Equality.DIFFERENT]
    finally:
        verifier.close()


@pytest.mark.parametrize(("text", "letter"), [
    ("The answer is (B).", "B"), ("so the answer is B", "B"), (r"\boxed{B}", "B"), (r"\boxed{\text{(B)}}", "B"),
    ("B", "B"), ("B. apple", "B"), ("(B)", "B"), ("I think\nB) apple", "B"), ("Option A is wrong. Answer: C", "C"),
    ("**B**", "B"), ("The answer is **C**.", "C"), ("The correct choice is D, not A.", "D"),
    ("A stone is no fruit", None), ("It's an apple.", None), ("", None), (r"\boxed{12}", None), ("I do not know", None),
])
def test_the_letter_that_a_text_chooses(text: str, letter: str | None) -> None:
    assert choice_letter(text) == letter


def test_a_question_that_lists_the_gold_letter_is_a_choice() -> None:
    assert is_choice(CHOICES, "B") and not is_choice(CHOICES, "D") and not is_choice("Name the letter after A.", "B")
    assert not is_choice(CHOICES, "apple") and is_choice("Pick one: (A) x (B) y", "A")


@pytest.mark.parametrize(("given_", "options", "reason"), [
    (candidate("The answer is (B).", "B", question=CHOICES), {}, None),
    (candidate("The answer is (C), for A and B are not.", "B", question=CHOICES), {}, "wrong answer"),
    (candidate("an apple", "B", question=CHOICES), {}, "no answer"),
    (candidate("The answer is b.", "b", question="x", meta={"choices": ["stone", "apple"]}), {}, "no answer"),
    (candidate("The answer is B.", "B", meta={"choices": ["stone", "apple"]}), {}, None),
    (candidate("yes  please\n", "yes please"), {"method": "exact"}, None),
    (candidate("Yes please", "yes please"), {"method": "exact"}, "wrong answer"),
    (candidate(" ", "yes"), {"method": "exact"}, "no answer"),
    (candidate("<x>7</x> <x>8</x>", "8"), {"method": "regex", "pattern": "<x>(.*?)</x>"}, None),
    (candidate("<x>8</x> <x>7</x>", "8"), {"method": "regex", "pattern": "<x>(.*?)</x>"}, "wrong answer"),
    (candidate("8", "8"), {"method": "regex", "pattern": "<x>(.*?)</x>"}, "no answer"),
    (candidate("def f(): pass", "assert f()", kind="code"), {}, None),
    (candidate("so 1/2", "0.5"), {"method": "words"}, "wrong answer"),
])
def test_other_kinds(given_: Candidate, options: dict[str, Any], reason: str | None) -> None:
    assert AnswerFilter(AnswerOptions(**options), NO_CONTEXT).judge(given_) == reason
