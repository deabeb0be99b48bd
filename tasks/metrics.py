"""The numbers of a run in Prometheus' form: to a text file, to a Pushgateway, or at a port of the process; nowhere
unless the settings name one. A place that cannot be reached costs the numbers, never the run.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, write_to_textfile
from prometheus_client.exposition import pushadd_to_gateway, start_http_server

from qstar_core.operations import MetricsSettings
from tasks.events import Event, Failure, ShardDone, Told
from tasks.speed import Speed

EVERY_S = 5.0
_PUSH_TIMEOUT_S = 5.0
_SHARD_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200)
_log = logging.getLogger("qstar")


class Metrics:
    """A listener, for one run of a dataset. `waited_s` is how late the run began."""

    def __init__(self, settings: MetricsSettings, dataset: str, waited_s: float) -> None:
        self._settings, self._dataset = settings, dataset
        self._speed = Speed()
        self._sent = 0.0
        self._registry = _served(settings.port) if settings.port else CollectorRegistry()
        self._numbers = _numbers(self._registry)
        self._numbers.queue.labels(dataset).set(waited_s)

    def __call__(self, event: Told) -> None:
        if isinstance(event, ShardDone):
            self._numbers.shards.labels(self._dataset).observe(event.seconds)
            if event.acceptance is not None:
                self._numbers.acceptance.labels(self._dataset).set(event.acceptance)
        elif isinstance(event, Failure):
            self._numbers.failures.labels(self._dataset, event.reason).inc(event.count)
        elif event.stage == "generate" and not event.text:
            self._generated(event)
        if time.monotonic() - self._sent >= EVERY_S:
            self.send()

    def send(self) -> None:
        self._sent = time.monotonic()
        try:
            if self._settings.textfile:
                Path(self._settings.textfile).parent.mkdir(parents=True, exist_ok=True)
                write_to_textfile(self._settings.textfile, self._registry)
            if self._settings.pushgateway:
                pushadd_to_gateway(self._settings.pushgateway, job="qstar", grouping_key={"dataset": self._dataset},
                                   registry=self._registry, timeout=_PUSH_TIMEOUT_S)
        except (OSError, ValueError) as error:
            _log.warning("metrics could not be written: %s", error)

    def _generated(self, event: Event) -> None:
        self._speed.add(event)
        self._numbers.tokens.labels(self._dataset).inc(event.tokens)
        self._numbers.samples.labels(self._dataset).inc(event.done if event.tokens else 0)
        self._numbers.left.labels(self._dataset).set(self._speed.total - self._speed.done)
        if self._speed.tokens_per_second is not None:
            self._numbers.speed.labels(self._dataset).set(self._speed.tokens_per_second)


class _Numbers:
    def __init__(self, registry: CollectorRegistry) -> None:
        one, reason = ("dataset",), ("dataset", "reason")
        self.tokens = Counter("qstar_tokens", "Tokens sampled", one, registry=registry)
        self.samples = Counter("qstar_samples", "Samples finished", one, registry=registry)
        self.left = Gauge("qstar_samples_left", "Samples of the round that are still to do", one, registry=registry)
        self.speed = Gauge("qstar_tokens_per_second", "Tokens per second of this run", one, registry=registry)
        self.acceptance = Gauge("qstar_acceptance_ratio", "Share of the judged drafts that stood", one,
                                registry=registry)
        self.shards = Histogram("qstar_shard_seconds", "Seconds that a shard took", one, buckets=_SHARD_SECONDS,
                                registry=registry)
        self.failures = Counter("qstar_failures", "What failed, by reason", reason, registry=registry)
        self.queue = Gauge("qstar_queue_age_seconds", "Seconds from when the run was due to its start", one,
                           registry=registry)


@cache
def _numbers(registry: CollectorRegistry) -> _Numbers:
    """Once a registry: several runs of one process add to the same numbers."""
    return _Numbers(registry)


@cache
def _served(port: int) -> CollectorRegistry:
    """Served once a process, on this machine only."""
    registry = CollectorRegistry()
    try:
        start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        _log.warning("metrics cannot be served at port %d: %s", port, error)
    return registry
