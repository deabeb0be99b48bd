"""Target shares: nothing is padded, what can be reached is reached, what cannot is told with its figures."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qstar_core.config import MixingSettings
from qstar_core.selection.shares import OTHER, dimensions, quotas, share_lines, shortfalls

_counts = st.dictionaries(st.sampled_from([("a",), ("b",), ("c",), (OTHER,)]), st.integers(0, 400)).map(Counter)
_targets = st.dictionaries(st.sampled_from("abc"), st.integers(0, 33).map(lambda n: n / 100), min_size=1)


@given(_counts, _targets, st.floats(0, 1))
def test_quotas_never_pad_and_never_drop_more_than_allowed(counts: Counter[tuple[str, ...]], targets: dict[str, float],
                                                           max_drop: float) -> None:
    wanted = dimensions(MixingSettings(kind=targets))
    taken = quotas(counts, wanted, max_drop)
    assert all(0 <= taken.get(group, 0) <= count for group, count in counts.items())
    assert set(taken) <= set(counts) | {(value,) for value in (*targets, OTHER)}
    for line in share_lines(counts, taken, wanted):
        assert line.taken == taken.get((line.value,), 0) and line.available == counts[line.value,]
    assert sum(line.taken for line in share_lines(counts, taken, wanted)) == sum(taken.values())
    shared = sum(counts[line.value,] for line in share_lines(counts, taken, wanted) if line.wanted > 0)
    assert sum(taken.values()) >= (1 - max_drop) * shared - 1


@given(st.dictionaries(st.sampled_from("abc"), st.integers(40, 400), min_size=2),
       st.lists(st.integers(1, 10), min_size=3, max_size=3))
def test_shares_are_reached_where_rows_may_be_given_up(rows: dict[str, int], weights: list[int]) -> None:
    total = sum(weights[: len(rows)])
    targets = {name: weight / total for name, weight in zip(rows, weights, strict=False)}
    wanted = dimensions(MixingSettings(kind=targets))
    taken = quotas(Counter({(name,): count for name, count in rows.items()}), wanted, max_drop=1.0)
    size = min(rows[name] / share for name, share in targets.items())
    assert shortfalls(share_lines(Counter({(name,): count for name, count in rows.items()}), taken, wanted)) == []
    assert all(abs(taken[name,] - max(1, share * size)) <= 1 for name, share in targets.items())
    tight = min(targets, key=lambda name: rows[name] / targets[name])
    assert taken[tight,] == rows[tight], "the group that limits the total is taken whole"


def test_an_unreachable_share_keeps_what_may_not_be_dropped_and_is_told() -> None:
    wanted = dimensions(MixingSettings(kind={"rare": 0.5, "absent": 0.25}))
    counts = Counter({("rare",): 2, (OTHER,): 98})
    taken = quotas(counts, wanted, max_drop=0.5)
    assert taken == {("rare",): 2, ("absent",): 0, (OTHER,): 48}
    told = {line.value: (line.wanted, line.available, line.taken) for line in share_lines(counts, taken, wanted)}
    assert shortfalls(share_lines(counts, taken, wanted)) == [
        "kind rare is 4.0% of the rows, wanted 50.0% (2 there)",
        "kind absent is 0.0% of the rows, wanted 25.0% (0 there)"]
    assert told == {"rare": (0.5, 2, 2), "absent": (0.25, 0, 0), OTHER: (0.25, 98, 48)}


def test_what_is_not_named_shares_the_rest_and_two_ways_of_grouping_hold_together() -> None:
    wanted = dimensions(MixingSettings(kind={"story": 0.5}, difficulty={"hard": 0.5, "easy": 0.5}))
    counts = Counter({(kind, hard): 100 for kind in ("story", OTHER) for hard in ("hard", "easy")} | {
        ("story", "hard"): 40})
    taken = quotas(counts, wanted, max_drop=1.0)
    assert {group: count for group, count in taken.items() if count} == dict.fromkeys(
        [("story", "hard"), ("story", "easy"), (OTHER, "hard"), (OTHER, "easy")], 40)
    assert all(line.share == 0.5 for line in share_lines(counts, taken, wanted) if line.wanted)


@pytest.mark.parametrize("wrong", [{"kind": {"a": 0.6, "b": 0.6}}, {"difficulty": {"impossible": 0.5}},
                                   {"hard_below": 0.9, "easy_from": 0.1}, {"replay": {"share": 1.0}}])
def test_settings_that_cannot_hold_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MixingSettings.model_validate(wrong)
