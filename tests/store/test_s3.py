"""What only S3 can get wrong: keys, buckets, networks, clocks; and that no secret is ever repeated."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from qstar_core.config import S3Settings
from qstar_core.errors import ConfigError, ConflictError, IntegrityError, NotFoundError, StoreError, UnavailableError
from qstar_core.store.localserver import RunningS3
from qstar_core.store.s3 import S3Store
from qstar_core.store.s3_errors import as_store_error
from qstar_core.store.s3_multipart import upload_parts
from tests.store.lossy import LossyRelay

WRONG = "wrong0secret0wrong0secret"


def _uses(store: S3Store, path: Path) -> list[Callable[[], object]]:
    path.write_bytes(b"x" * (6 << 20))
    return [
        lambda: store.read("a"), lambda: store.head("a"), lambda: store.write("a", b"1"), lambda: store.delete("a"),
        lambda: store.write("a", b"1", if_absent=True), lambda: store.write("a", b"1", if_match='"x"'),
        lambda: list(store.list("")), lambda: store.copy("a", "b"), lambda: store.download("a", path.with_name("out")),
        lambda: store.upload("a", path),
    ]


def _refused(store: S3Store, path: Path) -> list[StoreError]:
    errors = []
    for use in _uses(store, path):
        with pytest.raises(StoreError) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert WRONG not in "".join(traceback.format_exception(caught.value))
        errors.append(pickle.loads(pickle.dumps(caught.value)))
    return errors


def test_a_wrong_secret(s3_server: RunningS3, tmp_path: Path) -> None:
    for access_key, reason in ((s3_server.access_key, "the secret key does not belong"), ("nobody", "does not know")):
        file = tmp_path / "credentials"
        file.write_text(f"[qstar]\naws_access_key_id = {access_key}\naws_secret_access_key = {WRONG}\n")
        settings = s3_server.settings.model_copy(update={"credentials_file": file, "part_mb": 5})
        store = S3Store(s3_server.bucket, "x", settings)
        errors = _refused(store, tmp_path / "file")
        for error in errors:
            assert not isinstance(error, NotFoundError | ConflictError)
            assert f"s3://{s3_server.bucket}/x" in error.problem
            assert s3_server.endpoint_url in error.problem
            assert reason in error.problem or "(403)" in error.problem  # a HEAD has no body to tell the reason
        assert reason in errors[0].problem
        assert WRONG not in repr(store) + repr(settings) + repr(pickle.dumps(store))


def test_a_missing_bucket_is_not_an_empty_one(s3_server: RunningS3, tmp_path: Path) -> None:
    settings = s3_server.settings.model_copy(update={"part_mb": 5})
    errors = _refused(S3Store("no-such-bucket", "", settings), tmp_path / "file")
    del errors[5]  # SeaweedFS compares an etag before it looks for the bucket
    for error in errors[:6]:
        assert "the bucket does not exist" in error.problem
        assert "no-such-bucket" in error.problem
        assert "create it or correct store.uri" in error.fix


def test_an_unreachable_server(s3_server: RunningS3, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = s3_server.settings.model_copy(update={"endpoint_url": f"http://127.0.0.1:{port}", "max_attempts": 2})
    store = S3Store("tests", "", settings)
    started = time.monotonic()
    with pytest.raises(StoreError, match=f"tests/a at http://127.0.0.1:{port}: the server cannot be reached"):
        store.read("a")
    assert time.monotonic() - started < 5
    with pytest.raises(StoreError, match=r"profile does not exist — correct store\.s3\.profile"):
        S3Store("tests", "", settings.model_copy(update={"profile": "nobody"})).read("a")


def test_an_object_carries_its_hash(s3_server: RunningS3, tmp_path: Path) -> None:
    store = S3Store(s3_server.bucket, "hash", s3_server.settings.model_copy(update={"part_mb": 5}))
    (tmp_path / "file").write_bytes(b"x" * (11 << 20))
    store.write("small", b"x")
    store.upload("large", tmp_path / "file")
    for key, parts in (("small", 0), ("large", 3)):
        store.copy(key, f"{key}-copy")
        for name in (key, f"{key}-copy"):
            head = store._client.head_object(Bucket=s3_server.bucket, Key=f"hash/{name}", ChecksumMode="ENABLED")
            assert len(head["Metadata"]["sha256"]) == 64
            if name == key:
                assert head["ChecksumSHA256"].endswith(f"-{parts}" if parts else "=")


def test_a_file_that_changes_while_it_is_uploaded(s3_server: RunningS3, tmp_path: Path) -> None:
    store = s3_server.store("changed")
    (tmp_path / "file").write_bytes(b"x" * (6 << 20))
    with pytest.raises(IntegrityError, match=r"file changed while it was uploaded"):
        upload_parts(store._client, tmp_path / "file", bucket=s3_server.bucket, key="changed/large", sha256="0" * 64,
                     part_size=5 << 20, workers=2, create={})
    assert store.head("large") is None
    assert "Uploads" not in store._client.list_multipart_uploads(Bucket=s3_server.bucket, Prefix="changed/")


def test_encryption_is_asked_for(s3_server: RunningS3, tmp_path: Path) -> None:
    store = S3Store(s3_server.bucket, "sse", s3_server.settings.model_copy(update={"sse": "AES256", "part_mb": 5}))
    (tmp_path / "file").write_bytes(b"x" * (6 << 20))
    store.write("small", b"x")
    store.upload("large", tmp_path / "file")
    store.copy("small", "copy")
    for key in ("small", "large", "copy"):
        head = store._client.head_object(Bucket=s3_server.bucket, Key=f"sse/{key}")
        assert head["ServerSideEncryption"] == "AES256"
    assert store.read("large") == b"x" * (6 << 20)


def test_a_write_whose_answer_is_lost_has_still_won(s3_server: RunningS3, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (11 << 20))
    direct = s3_server.store("lost")
    before = direct.write("pointer", b"0")
    cases: list[tuple[tuple[bytes, ...], str, Callable[[S3Store], str]]] = [
        ((b"PUT", b"/new"), "new", lambda store: store.write("new", b"1", if_absent=True)),
        ((b"PUT", b"/pointer"), "pointer", lambda store: store.write("pointer", b"1", if_match=before)),
        ((b"POST", b"uploadId="), "big", lambda store: store.upload("big", tmp_path / "file")),
    ]
    for words, key, write in cases:
        relay = LossyRelay(s3_server.endpoint_url, *words)
        settings = s3_server.settings.model_copy(update={"endpoint_url": relay.endpoint_url, "part_mb": 5})
        try:
            etag = write(S3Store(s3_server.bucket, "lost", settings))
        finally:
            relay.close()
        assert relay.lost == 1
        assert direct.read_with_etag(key)[1] == etag


def test_a_lost_answer_does_not_hide_a_conflict(s3_server: RunningS3) -> None:
    s3_server.store("lost").write("taken", b"other", if_absent=True)
    relay = LossyRelay(s3_server.endpoint_url, b"PUT", b"/taken")
    settings = s3_server.settings.model_copy(update={"endpoint_url": relay.endpoint_url})
    try:
        with pytest.raises(ConflictError):
            S3Store(s3_server.bucket, "lost", settings).write("taken", b"mine", if_absent=True)
    finally:
        relay.close()
    assert relay.lost == 1
    assert s3_server.store("lost").read("taken") == b"other"


def _told_by_child(work: Callable[[], str]) -> str:
    """What `work` returns in a forked child, or its traceback. The child ends at once: exit hooks of other libraries,
    which it inherited together with their threads' state, are no part of what is tested (Prefect's raise there)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = work()
        except BaseException:  # noqa: BLE001 — it is the parent that raises
            told = traceback.format_exc()
        os.write(writing, told.encode()[-4000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], 30)
        told = pipe.read().decode() if ready else "no answer in 30 s"
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return told


def test_a_forked_child_opens_its_own_connection(s3_server: RunningS3) -> None:
    store = s3_server.store("fork")
    store.write("a", b"1")
    before = store._client
    told = _told_by_child(lambda: f"{store.read('a')!r} {store._client is before} {store._owner == os.getpid()}")
    assert told == "b'1' False True"
    assert store.read("a") == b"1" and store._client is before
    assert "ZeroDivisionError" in _told_by_child(lambda: str(1 / 0))


@pytest.mark.parametrize(("code", "status", "kind", "words"), [
    ("RequestTimeTooSkewed", 403, StoreError, "clock"),
    ("AccessDenied", 403, StoreError, "s3:PutObject"),
    ("PermanentRedirect", 301, StoreError, "store.s3.region"),
    ("301", 301, StoreError, "store.s3.region"),
    ("AuthorizationHeaderMalformed", 400, StoreError, "store.s3.region"),
    ("ExpiredToken", 400, StoreError, "sign in again"),
    ("SlowDown", 503, UnavailableError, "max_concurrency"),
    ("PreconditionFailed", 412, ConflictError, "read it again"),
    ("ConditionalRequestConflict", 409, ConflictError, "read it again"),
    ("NoSuchKey", 404, NotFoundError, "check the name"),
    ("NoSuchBucket", 404, StoreError, "create it"),
    ("Surprise", 418, StoreError, "the server answered Surprise: tea"),
])
def test_each_refusal_names_its_fix(code: str, status: int, kind: type[StoreError], words: str) -> None:
    answer = {"Error": {"Code": code, "Message": "tea"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = as_store_error(ClientError(answer, "PutObject"), "s3://b/k at AWS")  # type: ignore[arg-type]
    assert type(error) is kind
    assert "s3://b/k at AWS" in str(error)
    assert words in str(error)


@pytest.mark.parametrize(("error", "words"), [
    (boto.NoCredentialsError(), "aws configure"),
    (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "half of the credentials"),
    (boto.ConnectTimeoutError(endpoint_url="http://x"), "does not answer"),
    (boto.SSLError(endpoint_url="https://x", error="expired"), "AWS_CA_BUNDLE"),
    (boto.ReadTimeoutError(endpoint_url="http://x"), "does not answer"),
])
def test_each_failure_names_its_fix(error: Exception, words: str) -> None:
    assert words in str(as_store_error(error, "s3://b/k at http://x"))
    damaged = as_store_error(boto.FlexibleChecksumError(error_msg="mismatch"), "s3://b/k")
    assert isinstance(damaged, IntegrityError)


def test_settings_take_no_secrets() -> None:
    for wrong in (f"http://me:{WRONG}@host", WRONG, f"ftp://{WRONG}", "http://"):
        with pytest.raises(ConfigError, match=r"store\.s3\.endpoint_url") as caught:
            S3Store("bucket", "", S3Settings(endpoint_url=wrong))
        assert WRONG not in "".join(traceback.format_exception(caught.value))
