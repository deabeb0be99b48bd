"""Slices, shuffles, shards and duplicates: which rows of a source are taken, and that every one is accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError
from qstar_core.records import Message, Prompt, Role
from qstar_core.sources.duplicates import EXACT, NEAR, Duplicates
from qstar_core.sources.order import shard, shuffled
from qstar_core.sources.reading import read_source
from qstar_core.sources.splitting import is_validation

STORY = ("A farmer keeps many animals on a large green meadow near the old river, and every morning before breakfast "
         "the whole family walks out to count them; today they find {} cows, and later {} more arrive. How many now?")


def prompt(text: str, answer: str | None = None) -> Prompt:
    return Prompt.of((Message(role=Role.USER, content=text),), answer=answer)


@given(count=st.integers(0, 200), seed=st.integers(0, 9), buffer=st.integers(1, 250))
def test_a_shuffle_is_a_permutation_that_the_seed_decides(count: int, seed: int, buffer: int) -> None:
    order = list(shuffled(range(count), seed, buffer))
    assert sorted(order) == list(range(count)) and order == list(shuffled(iter(range(count)), seed, buffer))
    assert all(position >= number - buffer for position, number in enumerate(order)), "no row comes before it is read"
    if count >= 100 and buffer >= 50:
        assert order != list(range(count)) and order != list(shuffled(range(count), seed + 1, buffer))


def test_a_shuffle_is_the_same_on_every_machine() -> None:
    assert list(shuffled(range(10), 0, 4)) == [2, 0, 1, 6, 7, 5, 3, 4, 9, 8]


@given(count=st.integers(0, 60), shards=st.integers(1, 9))
def test_shards_are_disjoint_and_together_the_source(count: int, shards: int) -> None:
    parts = [list(shard(range(count), index, shards)) for index in range(shards)]
    assert sorted(number for part in parts for number in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture
def source(tmp_path: Path) -> str:
    rows: list[Any] = [{"question": f"number {i % 25}?", "answer": str(i % 25)} for i in range(40)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows[:10]), "broken", *map(json.dumps, rows[10:])]))
    return str(path)


def ends(**settings: Any) -> list[str]:
    return [read.prompt.question if read.prompt else read.reject.reason if read.reject else ""
            for read in read_source(SourceSettings(**settings))]


def test_shuffle_slice_and_shards_leave_every_row_its_one_end(source: str) -> None:
    whole = ends(path=source, shuffle_seed=3, start=5, limit=30)
    assert len(whole) == 30 and whole == ends(path=source, shuffle_seed=3, start=5, limit=30)
    assert whole != ends(path=source, start=5, limit=30)
    parts = [ends(path=source, shuffle_seed=3, start=5, limit=30, shard_count=4, shard_index=i) for i in range(4)]
    assert [whole[i::4] for i in range(4)] == parts
    assert Counter(ends(path=source, shuffle_seed=3)) == Counter(ends(path=source)), "the same rows in another order"
    with pytest.raises(ConfigError, match="shard_index"):
        ends(path=source, shard_count=4, shard_index=4)


def test_a_near_duplicate_is_dropped_and_other_numbers_are_another_question() -> None:
    seen = Duplicates(0.7)
    assert seen.reason(prompt(STORY.format(3, 4), "7")) is None
    assert seen.reason(prompt(STORY.format(3, 4), "7")) == EXACT
    assert seen.reason(prompt(STORY.format(3, 4).upper(), "7")) == NEAR
    assert seen.reason(prompt(STORY.format(3, 4).replace("breakfast", "lunch"), "7")) == NEAR
    assert seen.reason(prompt(STORY.format(3, 4).upper(), "34")) is None, "the same text with another answer"
    assert seen.reason(prompt("Something else entirely, about the sea and its ships", "7")) is None
    assert seen.reason(prompt("short one", None)) is None and seen.reason(prompt("Short One", None)) == NEAR
    assert seen.reason(prompt("")) is None


def test_without_a_threshold_only_the_same_prompt_is_a_duplicate() -> None:
    seen = Duplicates(None)
    assert seen.reason(prompt(STORY.format(3, 4), "7")) is None
    assert seen.reason(prompt(STORY.format(3, 4).upper(), "7")) is None
    assert seen.reason(prompt(STORY.format(3, 4), "8")) is None, "the gold is part of what a prompt is"


def test_near_duplicates_are_counted_before_anything_is_sampled(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    asked = [STORY.format(3, n) + end for n in (4, 5, 6) for end in ("", "!")]
    path.write_text("\n".join(json.dumps({"question": text}) for text in asked))
    assert Counter(ends(path=str(path), near_duplicates=0.7))[NEAR] >= 3
    assert NEAR not in ends(path=str(path))


@given(number=st.integers(0, 10**6), share=st.floats(0, 0.99), more=st.floats(0, 0.99))
def test_the_split_is_by_the_question_and_grows_with_the_share(number: int, share: float, more: float) -> None:
    one, other = prompt(f"question {number}", "4"), prompt(f"question {number}", "5")
    assert is_validation(one, share) == is_validation(other, share), "whatever gold the row has"
    assert not is_validation(one, 0.0)
    if is_validation(one, min(share, more)):
        assert is_validation(one, max(share, more))


def test_the_share_of_the_split_is_the_share_that_was_asked_for() -> None:
    held = sum(is_validation(prompt(f"question {i}"), 0.25) for i in range(4000))
    assert 900 < held < 1100
