"""How far the sampling of a round is, and how fast: the same numbers on the terminal, the server and in the metrics."""

from __future__ import annotations

import time

from tasks.events import Event


class Speed:
    """Fed with the events of the stage `generate`. Samples that were finished before, which come without tokens, count
    as done but not for the speed."""

    def __init__(self) -> None:
        self.done = self.total = self.tokens = 0
        self._new = 0
        self._since: float | None = None
        self._now = 0.0

    def add(self, event: Event) -> None:
        self.done += event.done
        self.total = event.total or self.total
        if not event.tokens:
            return
        self._now = time.monotonic()
        if self._since is None:
            self._since = self._now  # loading took a part of the first batch's time: it only starts the clock
        else:
            self.tokens += event.tokens
            self._new += event.done

    @property
    def elapsed(self) -> float:
        return 0.0 if self._since is None else self._now - self._since

    @property
    def tokens_per_second(self) -> float | None:
        """None until there is something to measure."""
        return self.tokens / self.elapsed if self.tokens and self.elapsed > 0 else None

    @property
    def seconds_left(self) -> float | None:
        if not self._new or self.elapsed <= 0:
            return None
        return (self.total - self.done) * self.elapsed / self._new

    @property
    def told(self) -> str:
        parts = [f"{self.done:,} of {self.total:,} samples"]
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:,.0f} tokens/s")
        if self.seconds_left:
            parts.append(f"{_span(self.seconds_left)} left")
        return ", ".join(parts)


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
