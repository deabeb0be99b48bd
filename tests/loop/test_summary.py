"""The rows of a loop, and the page that is made of them."""

from __future__ import annotations

import re

import pytest

from qstar_core.evaluation import paired
from qstar_core.evaluation.score import Score
from qstar_core.loop.beside import Beside, Solved
from qstar_core.loop.page import render_page
from qstar_core.loop.summary import Summary, summarise
from tests.loop.made import begun_of, round_of
from tests.loop.small import settings

ACCURACY = {"promotion.measure": "accuracy", "evaluation.measures": ["accuracy"]}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e"


def summary(told: str = "2 rounds are done", reason: str = "told") -> Summary:
    rounds = (round_of(1, promoted=True, stories=0.6), round_of(2, promoted=False, stories=0.9, reason=reason),
              round_of(3, promoted=True, stories=0.65))
    return summarise(settings(**ACCURACY), begun_of(0.4), rounds, told)


def beside_of(text: str) -> Beside:
    score = Score(model=text, sha256="0", checkpoint="0", suite="s", final=True, measures=(), sets=(), code_version="0",
                  created="c")
    return Beside(target="stories", before=score, after=score, test=paired.Test(0.01, "McNemar exact: 3 won, 0 lost"),
                  changes={"stories": paired.Difference(0.25, 0.1, 0.4), "sorting": paired.Difference(0, -0.1, 0.1)},
                  solved=Solved(question=text, gold=text, before=text, teacher=text, after=text))


def test_rows_follow_the_lines_student_and_count_what_a_point_cost() -> None:
    found = summary()
    values = [row.measures[found.target].value for row in found.rows]
    assert values == [0.4, 0.6, 0.6, 0.65], "a refused student is not the line's"
    assert [row.refused.value if row.refused else None for row in found.rows] == [None, None, 0.9, None]
    assert [row.gain for row in found.rows] == pytest.approx([0, 20, 0, 5])
    assert found.rows[1].per_point(100) == pytest.approx(5) and found.rows[2].per_point(100) is None
    assert (found.promotions, found.tokens, found.seconds) == (2, 300, 30) and found.gain == pytest.approx(25)


def test_the_page_escapes_everything_and_loads_nothing() -> None:
    page = render_page(summary(told=EVIL, reason=EVIL), beside_of(EVIL))
    assert "<script" not in page and "onerror=alert(2)>" not in page and "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 7
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy and "default-src &#39;none&#39;" in policy[1] and "script-src" not in policy[1]
    assert not re.search(r'(?:src|href)="(?!data:image/svg|#)', page)
    assert page == render_page(summary(told=EVIL, reason=EVIL), beside_of(EVIL)), "the same data, the same bytes"


def test_the_page_of_a_loop_without_rounds_and_without_diagnostics() -> None:
    assert "No round was concluded" in render_page(summarise(settings(**ACCURACY), begun_of(), (), "begun"), None)
    bare = summarise(settings(**ACCURACY), begun_of(), (round_of(1, promoted=False, alpha=None),), "told")
    page = render_page(bare, None)
    assert "α, the teacher" not in page and "KL, both ways" not in page and "no gain" in page
