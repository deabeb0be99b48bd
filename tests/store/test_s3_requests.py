"""What leaves for the server under each setting, which answers are asked for again, and what a user reads at the end.

SeaweedFS has no keys of AWS KMS, no regions and no session tokens that expire; here the requests themselves are looked
at, and the answers are those that AWS gives.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from qstar_core.config import S3Settings
from qstar_core.errors import ConfigError, IntegrityError, NotFoundError, StoreError, UnavailableError
from qstar_core.store.connection import S3Connection
from qstar_core.store.localserver import RunningS3
from qstar_core.store.s3 import S3Store
from tests.store.scripted_server import COPIED, FINISHED, STARTED, Answer, Asked, ScriptedServer, scripted

SECRET = "secret0secret0secret0secret"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(f"[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = {SECRET}\n"
                    f"aws_session_token = {SECRET}token\n")
    return path


def open_at(endpoint_url: str | None, credentials: Path, **given: Any) -> S3Store:
    values: dict[str, Any] = {"addressing_style": "path", "region": "us-east-1", "part_mb": 5, **given}
    return S3Store("bucket", "p", S3Connection(endpoint_url=endpoint_url, credentials_file=credentials, **values))


def sha256_header(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def written(server: ScriptedServer, store: S3Store, path: Path) -> list[Asked]:
    """A small write, a large upload of two parts, and a copy."""
    path.write_bytes(b"x" * (6 << 20))
    head = Answer(headers={"Content-Type": "text/plain"})
    server.answers[:] = [Answer(), Answer(body=STARTED.encode()), Answer(), Answer(), Answer(body=FINISHED.encode()),
                         head, Answer(body=COPIED.encode())]
    store.write("small", b"data")
    store.upload("large", path)
    store.copy("small", "copy")
    return server.asked


def test_every_put_carries_a_checksum_and_the_encryption(credentials: Path, tmp_path: Path) -> None:
    with scripted(Answer()) as server:
        store = open_at(server.endpoint_url, credentials, sse="aws:kms", kms_key_id="arn:aws:kms:key/1",
                        max_concurrency=1)
        small, start, first, second, _, _, copy = written(server, store, tmp_path / "file")
    assert small.headers["x-amz-checksum-sha256"] == sha256_header(b"data")
    for part, size in ((first, 5 << 20), (second, 1 << 20)):
        assert part.headers["x-amz-checksum-sha256"] == sha256_header(b"x" * size)
    assert copy.headers["x-amz-checksum-algorithm"] == start.headers["x-amz-checksum-algorithm"] == "SHA256"
    for asked in (small, start, copy):
        assert asked.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert asked.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "arn:aws:kms:key/1"
    assert all(asked.path.startswith("/bucket/p/") for asked in server.asked)
    assert all(SECRET not in str(asked.headers.get("authorization")) + asked.path for asked in server.asked)


@pytest.mark.parametrize(("sse", "wanted"), [(None, None), ("AES256", "AES256"), ("aws:kms", "aws:kms")])
def test_encryption_without_a_key(credentials: Path, sse: str | None, wanted: str | None) -> None:
    with scripted(Answer()) as server:
        open_at(server.endpoint_url, credentials, sse=sse).write("a", b"1")
    assert server.asked[0].headers.get("x-amz-server-side-encryption") == wanted
    assert "x-amz-server-side-encryption-aws-kms-key-id" not in server.asked[0].headers
    with pytest.raises(ConfigError, match=r"store\.s3\.kms_key_id is set, but store\.s3\.sse is not aws:kms"):
        S3Store("bucket", "", S3Settings(sse=sse if sse != "aws:kms" else None, kms_key_id="k"))


@pytest.mark.parametrize(("style", "endpoint", "url"), [
    ("virtual", None, "https://bucket.s3.eu-central-1.amazonaws.com/p/a"),
    ("auto", None, "https://bucket.s3.eu-central-1.amazonaws.com/p/a"),
    ("path", None, "https://s3.eu-central-1.amazonaws.com/bucket/p/a"),
    ("virtual", "https://objects.example.org", "https://bucket.objects.example.org/p/a"),
    ("path", "https://objects.example.org:9000", "https://objects.example.org:9000/bucket/p/a"),
])
def test_how_the_bucket_is_addressed(credentials: Path, style: str, endpoint: str | None, url: str) -> None:
    store, seen = open_at(endpoint, credentials, addressing_style=style, region="eu-central-1"), list[str]()

    class Raw:
        def stream(self, *_: object, **__: object) -> list[bytes]:
            return []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        seen.append(request.url)
        return AWSResponse(request.url, 200, {"ETag": '"e"'}, Raw())

    store._client.meta.events.register("before-send.s3", answer)
    store.write("a", b"1")
    assert seen == [url]


@pytest.mark.parametrize(("status", "code", "again"), [
    (500, "InternalError", True), (503, "SlowDown", True), (503, "ServiceUnavailable", True), (429, "Throttling", True),
    (403, "AccessDenied", False), (404, "NoSuchBucket", False), (412, "PreconditionFailed", False),
    (400, "ExpiredToken", False), (403, "RequestTimeTooSkewed", False), (400, "InvalidArgument", False),
    (501, "NotImplemented", False),
])
def test_only_passing_failures_are_asked_again(credentials: Path, status: int, code: str, again: bool) -> None:
    with scripted(Answer.error(status, code), Answer()) as server:
        store = open_at(server.endpoint_url, credentials, max_attempts=3)
        if again:
            store.write("a", b"1")
        else:
            with pytest.raises(StoreError):
                store.write("a", b"1")
    assert len(server.asked) == 1 + again
    assert len({asked.headers["amz-sdk-invocation-id"] for asked in server.asked}) == 1


def test_pauses_between_attempts_are_drawn_and_attempts_are_counted(credentials: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = time.sleep

    def pause(seconds: float) -> None:
        """Threads that other tests left behind sleep on."""
        if threading.current_thread() is threading.main_thread():
            pauses.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr("botocore.endpoint.time.sleep", pause)
    with scripted(Answer.error(503, "SlowDown")) as server:
        store = open_at(server.endpoint_url, credentials, max_attempts=4)
        for _ in range(3):
            with pytest.raises(UnavailableError, match="the server asks for fewer requests"):
                store.write("a", b"1")
    assert len(server.asked) == 3 * 4 and len(pauses) == len(set(pauses)) == 3 * 3
    assert all(0 <= pause <= 20 for pause in pauses)


def refusal(store: S3Store) -> StoreError:
    with pytest.raises(StoreError) as caught:
        store.write("a", b"1")
    assert "\n" not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(store)
    return caught.value


@pytest.mark.parametrize(("status", "code", "problem", "fix"), [
    (400, "ExpiredToken", "the session token has expired", "sign in again"),
    (403, "AccessDenied", "access is denied", "allow s3:GetObject"),
    (403, "RequestTimeTooSkewed", "clock", "set the clock"),
    (404, "NoSuchBucket", "the bucket does not exist", "create it"),
    (400, "AuthorizationHeaderMalformed", "signed for another region", "store.s3.region"),
    (301, "PermanentRedirect", "another region", "store.s3.region"),
    (400, "KMS.NotFoundException", "the KMS key", "store.s3.kms_key_id"),
])
def test_one_clear_line_each(credentials: Path, status: int, code: str, problem: str, fix: str) -> None:
    with scripted(Answer.error(status, code)) as server:
        error = refusal(open_at(server.endpoint_url, credentials))
    assert problem in error.problem and fix in error.fix and "s3://bucket/p/a at http://127.0.0.1" in error.problem


def test_a_real_server_tells_a_wrong_clock(s3_server: RunningS3, monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3_server.store("clock")
    store.write("a", b"1")
    late = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=2)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: late)
    with pytest.raises(StoreError) as caught:
        store.write("a", b"2")
    assert "this machine's clock and the server's differ too much" in caught.value.problem
    assert caught.value.fix == "set the clock (NTP)"


def test_a_stream_goes_on_where_it_broke(credentials: Path) -> None:
    with scripted(Answer(body=b"0123", promised=10),
                  Answer(206, b"45", {"Content-Range": "bytes 4-9/10"}, promised=6),
                  Answer(206, b"6789", {"Content-Range": "bytes 6-9/10"})) as server:
        store = open_at(server.endpoint_url, credentials)
        assert b"".join(store.chunks("a")) == b"0123456789"
    assert [asked.headers.get("range") for asked in server.asked] == [None, "bytes=4-", "bytes=6-"]
    assert [asked.headers.get("if-match") for asked in server.asked] == [None, '"e"', '"e"']


def test_a_stream_that_only_breaks_ends_and_another_object_is_not_read_on(credentials: Path) -> None:
    with scripted(Answer(body=b"", promised=10)) as server:
        with pytest.raises(UnavailableError, match="the connection broke"):
            list(open_at(server.endpoint_url, credentials, max_attempts=2).chunks("a"))
        assert len(server.asked) == 2
    with scripted(Answer(body=b"01", promised=10), Answer.error(412, "PreconditionFailed")) as server, \
            pytest.raises(StoreError, match="changed since it was read"):
        list(open_at(server.endpoint_url, credentials).chunks("a"))


def test_the_signature_covers_the_checksum_and_so_the_body(credentials: Path, tmp_path: Path) -> None:
    with scripted(Answer()) as server:
        written(server, open_at(server.endpoint_url, credentials, max_concurrency=1), tmp_path / "file")
    small, _, *parts = server.asked[:4]
    for asked in (small, *parts):
        assert asked.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        signed = asked.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        assert "x-amz-checksum-sha256" in signed
    for asked in (server.asked[1], *server.asked[4:]):
        assert asked.headers["x-amz-content-sha256"] == hashlib.sha256(asked.body).hexdigest()


@pytest.mark.parametrize("large", [False, True])
def test_a_real_server_refuses_bytes_that_were_changed_on_the_way(s3_server: RunningS3, tmp_path: Path,
                                                                 large: bool) -> None:
    settings = s3_server.settings.model_copy(update={"part_mb": 5, "max_attempts": 2})
    store = S3Store(s3_server.bucket, "changed", settings)
    size = 6 << 20 if large else 100
    (tmp_path / "file").write_bytes(b"x" * size)

    def change(request: AWSPreparedRequest, **_: Any) -> None:
        if request.method == "PUT":
            request.body = b"y" * int(request.headers["Content-Length"])

    store._client.meta.events.register("before-send.s3", change)
    with pytest.raises(UnavailableError, match="the bytes were damaged on the way"):
        store.upload("a", tmp_path / "file")
    with pytest.raises(NotFoundError):
        store.read("a")


def test_a_file_with_another_hash_than_was_said_is_not_stored(s3_server: RunningS3, tmp_path: Path) -> None:
    store = S3Store(s3_server.bucket, "said", s3_server.settings.model_copy(update={"part_mb": 5}))
    for size in (10, 6 << 20):
        (tmp_path / "file").write_bytes(b"x" * size)
        with pytest.raises(IntegrityError, match="changed while it was uploaded"):
            store.upload("a", tmp_path / "file", sha256="0" * 64)
        with pytest.raises(NotFoundError):
            store.read("a")
