"""The pair that is really built: a teacher worth learning from and a student with something to learn."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.tiny.build import TinyPair, build_pair
from qstar_core.tiny.problems import problems
from tests.tiny.sampling import accuracy

# A seed that no recipe trains with.
STORIES = list(problems(2**31, 150, kinds=("story",), difficulties=(3, 4, 5)))
SORTS = list(problems(2**31, 100, kinds=("sort",)))


@pytest.fixture(scope="module")
def pair(model_cache: Path) -> TinyPair:
    return build_pair(model_cache)


def test_the_teacher_with_the_reference_is_nearly_always_right(pair: TinyPair) -> None:
    assert accuracy(pair.teacher, STORIES, hinted=True, temperature=1.0) >= 0.85
    assert accuracy(pair.teacher, SORTS, hinted=True, temperature=1.0) >= 0.85


def test_the_student_is_clearly_weaker_but_not_lost(pair: TinyPair) -> None:
    """Bounds are wide because another processor rounds differently, which acts like another seed."""
    assert 0.1 <= accuracy(pair.student, STORIES, hinted=False, temperature=0.0) <= 0.65
    assert 0.55 <= accuracy(pair.student, SORTS, hinted=False, temperature=0.0) <= 0.95
    short_stories = list(problems(2**31, 100, kinds=("story",), difficulties=(2,)))
    assert accuracy(pair.student, short_stories, hinted=False, temperature=0.0) >= 0.75


def test_without_the_reference_the_teacher_does_not_know(pair: TinyPair) -> None:
    assert accuracy(pair.teacher, STORIES, hinted=False, temperature=0.0) <= 0.6
