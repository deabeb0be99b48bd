"""Each filter keeps and drops; the chain gives every sample one outcome, and its funnel adds up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import DEFAULT_FILTERS, FilterStep
from qstar_core.errors import ConfigError
from qstar_core.filters.base import Candidate
from qstar_core.filters.chain import ENGINE, FILTERS, FilterChain
from qstar_core.records import FinishReason, FunnelStep, Outcome, Verdict
from tests.filters.candidates import candidate, failed


def verdict(name: str, given_: Candidate, **options: Any) -> Verdict:
    return FilterChain([FilterStep(name=name, options=options)]).judge(given_)


@pytest.mark.parametrize(("name", "given_", "options", "reason"), [
    ("finish", candidate(), {}, ""),
    ("finish", candidate(finish=FinishReason.LENGTH), {}, "truncated"),
    ("length", candidate("a b c", tokens=4), {"min_tokens": 3, "max_tokens": 3}, ""),
    ("length", candidate("a b c", tokens=4), {"min_tokens": 4}, "too short"),
    ("length", candidate("a b c", tokens=4), {"max_tokens": 2}, "too long"),
    ("length", candidate("a b c", tokens=3, finish=FinishReason.LENGTH), {"min_tokens": 3, "max_tokens": 3}, ""),
    ("length", candidate("", tokens=1), {}, "too short"),
    ("length", candidate("", tokens=5), {"min_tokens": 0}, "too short"),
    ("answer", candidate("the answer is 8."), {}, ""),
    ("answer", candidate("the answer is 9."), {}, "wrong answer"),
    ("answer", candidate("who knows"), {}, "no answer"),
    ("answer", candidate("who knows", gold=None), {}, ""),
    ("duplicate", candidate(), {}, ""),
])
def test_a_filter_keeps_or_says_why_not(name: str, given_: Candidate, options: dict[str, Any], reason: str) -> None:
    found = verdict(name, given_, **options)
    assert found.reason == reason
    assert found.outcome is (Outcome.DROPPED if reason else Outcome.KEPT)
    assert found.stage == (name if reason else "")
    assert (found.sample_id, found.prompt_id) == (given_.sample.id, given_.sample.prompt_id)


def test_duplicates_are_of_the_same_prompt_and_white_space_does_not_count() -> None:
    chain = FilterChain([FilterStep(name="duplicate")])
    given_ = [candidate("a  b"), candidate("a\nb "), candidate("a b", question="other"), candidate("A b")]
    assert [chain.judge(each).reason for each in given_] == ["", "exact duplicate", "", ""]


def test_a_completion_that_was_dropped_before_is_no_original() -> None:
    chain = FilterChain([FilterStep(name="finish"), FilterStep(name="duplicate")])
    cut = candidate("a b", finish=FinishReason.LENGTH)
    assert [chain.judge(each).reason for each in (cut, candidate("a b"), candidate("a b"))] == [
        "truncated", "", "exact duplicate"]


def test_a_sample_that_failed_in_the_engine_meets_no_filter() -> None:
    chain = FilterChain(DEFAULT_FILTERS)
    found = [chain.judge(failed()), chain.judge(failed(None))]
    assert [(each.outcome, each.stage, each.reason) for each in found] == [
        (Outcome.FAILED, ENGINE, "the logits are NaN"), (Outcome.FAILED, ENGINE, "unknown error")]
    assert chain.funnel()[0] == FunnelStep(stage=ENGINE, entered=2, kept=0,
                                           dropped={"the logits are NaN": 1, "unknown error": 1})
    assert all(step.entered == 0 for step in chain.funnel()[1:])


CANDIDATES = st.builds(
    candidate, st.sampled_from(["answer 8", "answer 9", "nothing", "", "the answer is 8"]),
    st.sampled_from([None, "8"]), tokens=st.integers(0, 6),
    finish=st.sampled_from([FinishReason.STOP, FinishReason.LENGTH]), question=st.sampled_from(["q", "r"]),
) | st.builds(failed)


@given(samples=st.lists(CANDIDATES, max_size=30), names=st.permutations(sorted(FILTERS)), count=st.integers(0, 4))
def test_the_funnel_adds_up(samples: list[Candidate], names: list[str], count: int) -> None:
    steps = [FilterStep(name=name) for name in names[:count]]
    chain = FilterChain(steps)
    verdicts = [chain.judge(each) for each in samples]
    funnel = chain.funnel()
    assert [step.stage for step in funnel] == [ENGINE, *names[:count]]
    entering = len(samples)
    for step in funnel:
        assert step.entered == entering
        assert step.entered == step.kept + sum(step.dropped.values())
        entering = step.kept
    outcomes = Counter(each.outcome for each in verdicts)
    assert outcomes[Outcome.KEPT] == entering
    assert outcomes.total() == len(samples)
    told = Counter((each.stage, each.reason) for each in verdicts if each.outcome is not Outcome.KEPT)
    assert told == Counter({(step.stage, reason): n for step in funnel for reason, n in step.dropped.items()})
    again = FilterChain(steps)
    assert [again.judge(each) for each in samples] == verdicts


@pytest.mark.parametrize(("steps", "told"), [
    ([{"name": "finish"}, {"name": "toxicity"}], ["filters.1.name", "'toxicity'", "answer, duplicate, finish, length"]),
    ([{"name": "length", "options": {"min_tokens": -1}}], ["filters.0.options.min_tokens", "-1"]),
    ([{"name": "length", "options": {"max_tokens": "many"}}], ["filters.0.options.max_tokens", "'many'", "integer"]),
    ([{"name": "length", "options": {"min": 3}}], ["filters.0.options.min", "not permitted"]),
    ([{"name": "finish", "options": {"x": 1}}], ["filters.0.options.x"]),
    ([{"name": "finish"}, {"name": "answer"}, {"name": "finish"}], ["finish, answer, finish", "once"]),
])
def test_filters_that_cannot_be_built(steps: list[dict[str, Any]], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        FilterChain(FilterStep(**step) for step in steps)
    assert all(part in str(caught.value) for part in told), str(caught.value)


def test_every_filter_is_known_by_its_own_name() -> None:
    assert {kind.name for kind in FILTERS.values()} == set(FILTERS) >= {step.name for step in DEFAULT_FILTERS}
