"""When nobody waits any more the last samples move together: the same samples, in smaller and smaller batches."""

import pytest

from qstar_core.engine.cache import SlotLayer
from tests.engine.models import Duo, by_id, jobs, prompts
from tests.engine.test_speculation import assert_all_equal


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """The rows of every forward that decodes."""
    seen: list[int] = []
    plain = SlotLayer.update

    def update(self, keys, *more, **named):
        if self._owner.window.slots is None:
            seen.append(len(keys))
        return plain(self, keys, *more, **named)

    monkeypatch.setattr(SlotLayer, "update", update)
    return seen


@pytest.mark.parametrize("speculation", ["off", 3])
def test_the_last_samples_move_together_and_stay_what_they_are(forty: Duo, batches, speculation):
    work = jobs(prompts(5, 40), draws=2)
    expected = by_id(forty.engine(8, max_tokens=24).generate(work))
    assert set(batches) == {8}, "with fixed shapes the batch keeps its size"
    batches.clear()
    engine = forty.engine(8, max_tokens=24, deterministic=False, speculation=speculation)
    for _ in range(2):  # the second run begins with all slots again
        assert_all_equal(expected, by_id(engine.generate(work)))
        assert batches[0] == 8 and batches == sorted(batches, reverse=True) and min(batches) <= 2
        batches.clear()


def test_a_run_that_was_left_in_the_middle_gives_all_slots_back(forty: Duo):
    work = jobs(prompts(4, 40), draws=2)
    engine = forty.engine(8, max_tokens=24, deterministic=False)
    expected = by_id(engine.generate(work))
    cut = engine.generate(work)
    for _ in range(7):
        next(cut)
    cut.close()
    assert_all_equal(expected, by_id(engine.generate(work)))
