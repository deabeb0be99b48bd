"""What a page has room for: never more than it was given, in the order of the samples, tokens before texts left out."""

from __future__ import annotations

import random

import pytest

from qstar_core.records import Outcome
from qstar_core.report.embed import TEXTS_A_BLOCK, embed
from qstar_core.report.render import render_report
from tests.report.example import report_data, shown_of
from tests.report.reading import samples

REASONS = ("", "wrong answer", "exact duplicate")


def many(count: int, **changes: object) -> tuple:
    rng = random.Random(1)
    return tuple(
        shown_of(i, id=f"id{i:05d}", reason=REASONS[i % 3], outcome=Outcome.DROPPED if i % 3 else Outcome.KEPT,
                 completion=f"{rng.random()} {rng.random()}", **changes) for i in range(count))


@pytest.fixture(scope="module")
def shown() -> tuple:
    return many(250, length=30)


def test_with_room_for_all_everything_is_there_in_order(shown: tuple) -> None:
    embedded = embed(shown, 10_000_000)
    assert (embedded.listed, embedded.told) == (250, 250)
    found = samples(render_report(report_data(shown)))
    assert [row["id"] for row in found] == [sample.sample.id for sample in shown]
    assert [row["reason"] for row in found] == [sample.verdict.reason for sample in shown]
    assert all(row["told"]["text"] == list(sample.tokens) for row, sample in zip(found, shown, strict=True))


@pytest.mark.parametrize("room", [-5, 0, 3_000, 10_000, 20_000, 60_000, 150_000, 400_000])
def test_never_larger_than_the_room(shown: tuple, room: int) -> None:
    embedded = embed(shown, room)
    assert embedded.size <= max(room, 0)
    assert embedded.told <= embedded.listed <= len(shown)


def test_tokens_are_left_out_before_texts_and_the_first_samples_stay(shown: tuple) -> None:
    all_told, some_told = embed(shown, 10_000_000), embed(shown, 150_000)
    assert some_told.listed == all_told.listed and 0 < some_told.told < all_told.told
    few = embed(shown, 18_000)
    assert few.listed % TEXTS_A_BLOCK == 0 and 0 < few.listed < len(shown)


def test_the_page_stays_below_its_limit_and_says_what_it_left_out() -> None:
    shown = tuple(shown_of(i, length=800, question="y" * 100 + str(i)) for i in range(200))
    page = render_report(report_data(shown, megabytes=1.0, total=9_000))
    found = samples(page)
    told = sum(row["told"] is not None for row in found)
    assert len(page.encode()) <= 1_000_000 and 0 < told < 200
    assert f"{len(found):,} of 9,000 samples are in this file, {told:,} of them token by token;" in page
    assert "of at most 1 MB" in page


def test_a_failed_sample_is_listed_without_tokens() -> None:
    shown = (shown_of(0, outcome=Outcome.FAILED, reason="engine error"), shown_of(1))
    found = samples(render_report(report_data(shown)))
    assert [row["trace"] for row in found] == [None, 0] and found[1]["told"]["text"] == list(shown[1].tokens)
