"""What a text commits to, and when two answers are the same."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.answers import final_answer, last_boxed, same_answer


@pytest.mark.parametrize(("text", "expected"), [
    (r"so \boxed{42}", "42"),
    (r"\boxed{1} no \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}} and then 7", r"\frac{1}{2}"),
    (r"\boxed{never closed, answer 3", "3"),
    ("steps\n#### 1,234", "1,234"),
    ("#### 1\n#### 2", "2"),
    ("#### 5 answer 6", "5 answer 6"),
    ("The answer is 42.", "42."),
    ("The answer: 42", "42"),
    ("ANSWER = 42", "42"),
    ("**Answer:** 42", "** 42"),
    ("The answer is\n\n 42\nthanks", "42"),
    ("a) 3 + 4 = 7 ; answer 7", "7"),
    ("answer 3 7 12", "3 7 12"),
    ("answer 1 ; no : answer 2", "2"),
    ("To answer this we add. The answer is 9.", "9."),
    ("the answer is 7. That is my answer", "7. That is my answer"),
    ("the answers are 1 and 2", "2"),
    ("so 5 + 3 = 8", "8"),
    ("from -3 to 1,000.5 it rises", "1,000.5"),
    ("no idea", None),
    ("", None),
    ("answer", None),
    ("####", None),
])
def test_final_answer(text: str, expected: str | None) -> None:
    assert final_answer(text) == expected


@pytest.mark.parametrize(("given_", "gold", "same"), [
    ("42", "42", True), ("42.", "42", True), ("$42$", "42", True), ("42", "43", False),
    ("1,234", "1234", True), ("1234", "1,234", True), ("8.0", "8", True), ("8", "8.00", True), ("8.01", "8", False),
    ("-5", "-5", True), ("-5", "5", False), ("5", "-5", False), ("$1,000.50", "1000.5", True),
    ("8 apples", "8", True), ("5 + 3 = 8 apples", "8", True), ("5 + 3 = 8 apples", "5", False),
    ("8 or 9", "8", False), ("8 9", "8", False), ("8, that is 8", "8", True), ("** 42", "42", True),
    ("3 7 12", "3 7 12", True), ("3  7\t12 .", "3 7 12", True), ("3 12 7", "3 7 12", False), ("3 7", "3 7 12", False),
    ("Paris", "paris", True), ("Paris.", "Paris", True), ("London", "Paris", False), ("about 8", "Paris", False),
    ("STRASSE", "straße", True), ("eight", "8", False), ("", "8", False), ("nan", "nan", True), ("inf", "8", False),
    (r"\frac{1}{2}", r"\frac{1}{2}", True), ("1e3", "1000", False), ("0", "-0", True), ("٤٢", "42", True),
    ("8, so Mia has 8 apples", "8", True), ("8.0 = 8", "8", True), ("8, 9", "8", False), ("1,2", "12", True),
    ("8.0 or 8", "8", True),
])
def test_same_answer(given_: str, gold: str, same: bool) -> None:
    assert same_answer(given_, gold) is same


@given(st.integers(-10**12, 10**12))
def test_a_number_is_found_however_it_is_told(number: int) -> None:
    for told in (f"The answer is {number}.", f"... #### {number:,}", rf"\boxed{{{number}}}", f"answer {number}",
                 f"1 + 1 = 2, no, the answer = {number} coins"):
        found = final_answer(told)
        assert found is not None and same_answer(found, str(number)) and not same_answer(found, str(number + 1))


@given(st.text(), st.text())
def test_any_text_has_an_opinion_and_every_answer_is_its_own(text: str, other: str) -> None:
    found = final_answer(text)
    assert found is None or found in text
    assert same_answer(text, text)
    assert isinstance(same_answer(text, other), bool)


@given(st.recursive(st.text(alphabet="ab1", max_size=3), lambda inner: st.lists(inner, max_size=3).map(
    lambda parts: "".join(f"{{{part}}}" for part in parts)), max_leaves=8))
def test_boxed_is_the_text_between_balanced_braces(inner: str) -> None:
    assert last_boxed(rf"x \boxed{{{inner}}} y }}") == inner.strip()
    assert last_boxed(rf"\boxed{{{inner}") is None


@pytest.mark.parametrize("text", [
    "answer" + "\n" * 200_000, "answer" + " " * 200_000, "answer \n" * 50_000, "####" + "\n" * 200_000, "#" * 400_000,
    "answer is " * 50_000, "answer:=" * 50_000, r"\boxed{" * 50_000, r"\boxed{" + "{" * 400_000, "1," * 200_000,
    "-" * 400_000, "1." * 200_000, "9" * 400_000, "= " * 200_000, "#### " * 80_000,
], ids=lambda text: f"{text[:9]!r}×{len(text)}")
def test_a_hostile_completion_is_judged_in_a_moment(text: str) -> None:
    since = time.monotonic()
    found = final_answer(text)
    same_answer(found or text, "8")
    same_answer(text, "8")
    assert time.monotonic() - since < 3
