"""Laws of the problem family: the gold answer is right, every draw is repeatable, no text leaves the vocabulary."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import ConfigError, DataError
from qstar_core.tiny.problems import DIFFICULTIES, LIMIT, WORDS, Story, Style, draw, problem, problems

SLOTS = [(kind, level) for kind, levels in DIFFICULTIES.items() for level in levels]
seeds = st.integers(0, 10**6)
slots = st.sampled_from(SLOTS)
STEP = re.compile(r"([a-e]\)) (\d+) ([+-]) (\d+) = (\d+) ;")


def told(question: str) -> list[int]:
    """The totals that the words of a story say, worked out from the question alone."""
    start = re.search(r"has (\d+)", question)
    assert start
    totals = [int(start[1])]
    for verb, size in re.findall(r"[a-e]\) (\w+) (\d+) \.", question):
        totals.append(totals[-1] + {"buys": 1, "finds": 1, "eats": -1, "loses": -1}[verb] * int(size))
    return totals


@given(seeds, st.integers(0, 10**6), slots)
def test_the_answer_is_what_the_question_and_the_solution_say(seed: int, index: int, slot: tuple[str, int]) -> None:
    kind, level = slot
    made = problem(seed, index, kind, level)
    assert made.solution is not None and made.answer is not None
    assert made.solution.rsplit("answer ", 1)[1] == made.answer
    if kind == "sort":
        numbers = [int(word) for word in made.question.split()[1:]]
        assert len(numbers) == level
        assert made.answer == made.meta["reference"] == " ".join(str(n) for n in sorted(numbers))
        return
    totals = told(made.question)
    assert len(totals) == level + 1 and all(0 <= total < LIMIT for total in totals)
    steps = STEP.findall(made.solution)
    assert [label for label, *_ in steps] == ["a)", "b)", "c)", "d)", "e)"][:level]
    for (_, before, sign, size, after), was, now in zip(steps, totals[:-1], totals[1:], strict=True):
        assert (int(before), int(after)) == (was, now)
        assert int(before) + int(size) * (1 if sign == "+" else -1) == int(after)
    assert made.meta == {"difficulty": level, "reference": " ".join(map(str, totals[1:]))}
    assert made.answer == str(totals[-1])


@given(seeds, slots, st.sampled_from(Style))
def test_every_style_ends_in_the_answer_and_keeps_to_the_vocabulary(
    seed: int, slot: tuple[str, int], style: Style
) -> None:
    made = draw(random.Random(seed), *slot)
    for text in (made.question, made.reference, made.solution(style)):
        assert set(text.split()) <= set(WORDS)
        assert text == " ".join(text.split())
    assert made.solution(style).rsplit("answer ", 1)[1] == made.answer


@given(seeds, slots)
def test_the_question_never_shows_the_reference(seed: int, slot: tuple[str, int]) -> None:
    made = problem(seed, 0, *slot)
    assert "ref" not in made.question.split() and "answer" not in made.question.split()
    assert f"ref {made.meta['reference']}" not in made.question


def test_the_styles_of_one_story() -> None:
    story = Story("Tom", "books", 15, ("loses", "finds"), (-1, 2))
    assert story.question == "Tom has 15 books . a) loses 1 . b) finds 2 . how many ?"
    assert story.solution() == "a) 15 - 1 = 14 ; b) 14 + 2 = 16 ; answer 16"
    assert story.solution(Style.WORDS) == "now 15 minus 1 is 14 . then 14 plus 2 is 16 . answer 16"
    assert story.solution(Style.TERSE) == "a) 14 ; b) 16 ; answer 16"
    assert story.solution(Style.BRIEF) == "answer 16"


@given(seeds, st.integers(0, 60), st.integers(0, 60))
def test_a_later_start_is_the_rest_of_a_longer_run(seed: int, start: int, count: int) -> None:
    longer = list(problems(seed, start + count))
    assert list(problems(seed, count, start=start)) == longer[start:]
    assert len(longer) == start + count


def test_ids_are_distinct_where_draws_repeat() -> None:
    """Among 2000 lists of three numbers repeats are certain."""
    drawn = [problem(3, index, "sort", 3).id for index in range(2000)]
    assert len(set(drawn)) < len(drawn)
    ids = [prompt.id for prompt in problems(3, 2000, kinds=("sort",), difficulties=(3,))]
    assert len(set(ids)) == len(ids) == 2000


def test_kinds_and_difficulties_take_turns() -> None:
    got = [(prompt.kind, prompt.meta["difficulty"]) for prompt in problems(0, 6, difficulties=(3, 4, 5))]
    assert got == [("story", 3), ("sort", 3), ("story", 4), ("sort", 4), ("story", 5), ("sort", 3)]


def test_seeds_differ() -> None:
    assert [p.id for p in problems(1, 20)] != [p.id for p in problems(2, 20)]


@pytest.mark.parametrize(("kinds", "difficulties"), [(("riddle",), None), (("sort",), (5,)), ((), None)])
def test_what_does_not_exist_is_named(kinds: tuple[str, ...], difficulties: tuple[int, ...] | None) -> None:
    with pytest.raises(ConfigError):
        list(problems(0, 1, kinds=kinds, difficulties=difficulties))
    with pytest.raises(ConfigError, match="difficulty 9"):
        problem(0, 0, "story", 9)


def test_a_family_that_is_used_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qstar_core.tiny.problems.PATIENCE", 3)
    with pytest.raises(DataError, match="no new sort problem of difficulty 3"):
        list(problems(0, 30_000, kinds=("sort",), difficulties=(3,)))
