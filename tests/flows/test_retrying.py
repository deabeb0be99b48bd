"""What is tried again and what is not: decided by the kind of the error."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from qstar_core.errors import (
    ConfigError,
    ConflictError,
    EngineError,
    IntegrityError,
    NotFoundError,
    StoreError,
    UnavailableError,
)
from qstar_core.store.s3_errors import as_store_error
from tasks.conclude import filter_task, gate_task, publish_task, report_task
from tasks.generate import generate_task
from tasks.prepare import ingest_task, plan_task, resolve_models_task
from tasks.retrying import is_transient

TASKS = (resolve_models_task, ingest_task, plan_task, generate_task, filter_task, gate_task, report_task, publish_task)


def answer(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.mark.parametrize("error", [
    answer("SlowDown", 503), answer("InternalError", 500), answer("Odd", 502),
    EndpointConnectionError(endpoint_url="http://x"),
])
def test_a_store_that_does_not_answer_now_is_tried_again(error: Exception) -> None:
    assert is_transient(as_store_error(error, "s3://b/k"))


@pytest.mark.parametrize("error", [
    answer("AccessDenied", 403), answer("NoSuchBucket", 404), answer("PreconditionFailed", 412),
])
def test_a_refusal_is_final(error: Exception) -> None:
    assert not is_transient(as_store_error(error, "s3://b/k"))


@pytest.mark.parametrize("kind", [ConfigError, ConflictError, EngineError, IntegrityError, NotFoundError, StoreError])
def test_what_waiting_does_not_mend_is_final(kind: type[Exception]) -> None:
    assert not is_transient(kind("it", "fix"))


def test_every_task_has_the_policy() -> None:
    assert is_transient(UnavailableError("it", "fix"))
    for task in TASKS:
        assert task.retries == 3 and task.retry_condition_fn is not None
