"""Jobs that come while others run: each gets the sample that it would have got alone, with its own seed and length, and
a listener hears its tokens and can end it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from qstar_core.engine.protocol import Job
from qstar_core.engine.sequence import UNWANTED
from qstar_core.records import FinishReason
from tests.engine.models import Duo, by_id, jobs, prompts


@pytest.mark.parametrize("slots", [1, 3])
def test_who_joins_late_gets_the_same(forty: Duo, slots: int) -> None:
    work = jobs(prompts(5, 40), draws=2)
    running: set[str] = set()

    def late() -> Iterator[Job | None]:
        """None where a batch is running, between any two jobs."""
        for job in work:
            yield from [None] * 3 if running else []
            running.add(job.sample_id)
            yield job

    found = {}
    for one in forty.engine(slots).generate(late()):
        running.discard(one.sample.id)
        found[one.sample.id] = one
    assert {name: one.sample for name, one in found.items()} == {
        name: one.sample for name, one in by_id(forty.engine(slots).generate(work)).items()}


def test_a_seed_and_a_length_of_its_own(forty: Duo) -> None:
    work = jobs(prompts(4, 40), draws=1)
    plain = by_id(forty.engine(2).generate(work))
    own = by_id(forty.engine(2).generate([replace(job, seed=99, max_tokens=3) for job in work]))
    mixed = by_id(forty.engine(2).generate([replace(work[0], seed=99, max_tokens=3), *work[1:]]))
    assert all(one.sample.seed == 99 and len(one.sample.token_ids) <= 3 for one in own.values())
    first = work[0].sample_id
    assert mixed[first].sample == own[first].sample != plain[first].sample
    assert all(mixed[job.sample_id].sample == plain[job.sample_id].sample for job in work[1:])


def test_a_listener_hears_every_token_but_the_last_and_can_end_it(forty: Duo) -> None:
    work = jobs(prompts(4, 40), draws=1)
    plain = by_id(forty.engine(2).generate(work))
    heard: dict[str, list[tuple[int, int]]] = {job.sample_id: [] for job in work}

    def listening(job: Job, most: int) -> Job:
        def listen(position: int, token: int) -> bool:
            heard[job.sample_id].append((position, token))
            return len(heard[job.sample_id]) < most

        return replace(job, listener=listen)

    found = by_id(forty.engine(2).generate([listening(work[0], 2), *(listening(job, 1000) for job in work[1:])]))
    for job in work[1:]:
        ids = plain[job.sample_id].sample.token_ids
        assert found[job.sample_id].sample.token_ids == ids
        assert heard[job.sample_id] == list(enumerate(ids[:-1]))
    ended = found[work[0].sample_id].sample
    if len(plain[work[0].sample_id].sample.token_ids) > 2:
        assert ended.finish_reason is FinishReason.ERROR and ended.error == UNWANTED and len(heard[ended.id]) == 2
