"""Half of the slots are a line in the run's log and one on the terminal."""

from __future__ import annotations

from prefect.logging import disable_run_logger

from qstar_core.config import Settings
from qstar_core.engine.headroom import Headroom
from tasks import generate
from tasks.events import Event, listening


def test_a_round_tells_that_memory_ran_out(monkeypatch) -> None:
    headroom = Headroom(lambda slots: (_ for _ in ()).throw(MemoryError), 8)
    monkeypatch.setattr(generate, "engine_for", lambda settings, models, context: headroom)

    class Plan:
        models, context, dataset, version = None, None, "demo", "1-abc"

    events: list[Event] = []
    with disable_run_logger(), listening(events.append):
        engine = generate._engine(Settings(), Plan)
        engine._halve()
    assert [(event.stage, event.text) for event in events] == [("memory",
                                                               "ran out; going on with 4 samples in flight")]
