"""The progress of a round as an artifact of its run, updated every few seconds at most."""

from __future__ import annotations

import time
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.artifacts import key_of
from tasks.events import Event, Told
from tasks.speed import Speed

EVERY_S = 5.0


class ProgressArtifact:
    """A listener. The artifact is made with the first sample."""

    def __init__(self, dataset: str, round_name: str) -> None:
        self._key, self._round = key_of(dataset, "progress"), round_name
        self._speed = Speed()
        self._artifact: UUID | None = None
        self._shown = 0.0

    def __call__(self, event: Told) -> None:
        if not isinstance(event, Event) or event.stage != "generate" or event.text:
            return
        self._speed.add(event)
        finished = self._speed.done >= self._speed.total
        if finished or time.monotonic() - self._shown >= EVERY_S:
            self._show()
            self._shown = time.monotonic()

    def _show(self) -> None:
        percent = 100.0 * self._speed.done / max(1, self._speed.total)
        told = f"Round {self._round}: {self._speed.told}"
        if self._artifact is None:
            made = create_progress_artifact(percent, key=self._key, description=told)
            assert isinstance(made, UUID)  # outside of a coroutine the call itself returns it
            self._artifact = made
        else:
            update_progress_artifact(self._artifact, progress=percent, description=told)
