"""Everything that watches one run of a round: its log file, its progress on the server, its metrics, and the events
that tell automations how it ended.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from prefect.events import emit_event
from prefect.runtime import flow_run

from qstar_core.config import Settings
from qstar_core.errors import CrashLoopError, GateFailedError
from qstar_core.records import DatasetVersion
from tasks.events import Failure, emit, listening
from tasks.metrics import Metrics
from tasks.progress import ProgressArtifact
from tasks.runlog import redacted, run_log

PUBLISHED, GATE_FAILED, STOPPED = "dataset.published", "qstar.gate.failed", "qstar.loop.stopped"
WAITS = "qstar.approval.needed"
AWAITS_APPROVAL = "AwaitingApproval"
"""The state of a run that did all it could, and left the rest to a person."""


def dataset_resource(dataset: str) -> str:
    """The id of a dataset in events."""
    return f"qstar.dataset.{dataset}"


def announce(event: str, dataset: str, **payload: str | int) -> None:
    emit_event(event, resource={"prefect.resource.id": dataset_resource(dataset), "prefect.resource.name": dataset},
               payload=payload)


def announce_published(version: DatasetVersion) -> None:
    announce(PUBLISHED, version.dataset, version=version.version, uri=version.uri, rows=version.rows)


@contextmanager
def watched(settings: Settings, round_name: str) -> Iterator[None]:
    """Around a run. A failure is counted, logged, and announced where somebody may wait for it."""
    metrics = Metrics(settings.metrics, settings.dataset, _waited_s())
    progress = ProgressArtifact(settings.dataset, round_name)
    with run_log(str(flow_run.id), str(flow_run.name)), listening(metrics), listening(progress):
        try:
            yield
        except Exception as error:
            emit(Failure(type(error).__name__))
            logging.getLogger("qstar").error("%s", error)
            if isinstance(error, GateFailedError | CrashLoopError):
                event = GATE_FAILED if isinstance(error, GateFailedError) else STOPPED
                announce(event, settings.dataset, round=round_name, problem=redacted(str(error)))
            raise
        finally:
            metrics.send()


def _waited_s() -> float:
    due = flow_run.scheduled_start_time
    return max(0.0, (datetime.now(UTC) - due).total_seconds()) if due is not None else 0.0
