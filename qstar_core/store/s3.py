"""An object store in an S3 bucket, under a prefix. This module and its `s3_*` neighbours are the only home of boto3.

Every write carries a SHA-256 that the server checks, and the SHA-256 of the whole object as metadata. Conditions are
S3's own (`If-None-Match: *`, `If-Match`). The client repeats requests that broke on the way; because the answer to a
write that *did* happen can be lost too, each write is signed with a token, and a conflict found on a repetition is
compared with it. One that was done and replaced by somebody since is told as a conflict, so what is written under a
condition must bear being done twice. Credentials come from boto3's own chain (environment, profile, role) and are never
kept here.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from qstar_core.config import S3Settings
from qstar_core.store import faults
from qstar_core.store.connection import S3Connection
from qstar_core.store.integrity import check_copied, sha256_bytes, sha256_file
from qstar_core.store.keys import check_condition, check_key, check_prefix
from qstar_core.store.objects import ObjectInfo
from qstar_core.store.s3_again import again, no_answer
from qstar_core.store.s3_errors import S3_ERRORS, as_store_error, is_missing_object, status_of
from qstar_core.store.s3_multipart import changed, checksum, upload_parts
from qstar_core.store.s3_stream import stream

_MB = 1 << 20


class S3Store:
    def __init__(self, bucket: str, prefix: str = "", settings: S3Settings | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._settings = S3Connection.of(settings or S3Settings())
        self._owner = 0
        self._connection: Any = None
        self._bucket_seen = False

    def __repr__(self) -> str:
        return f"S3Store({self.uri!r})"

    def __reduce__(self) -> tuple[Callable[..., S3Store], tuple[str, str, S3Connection]]:
        """Another process opens its own connection."""
        return S3Store, (self._bucket, self._prefix.rstrip("/"), self._settings)

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def locate(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{check_key(key)}"

    def read(self, key: str) -> bytes:
        return self.read_with_etag(key)[0]

    def read_with_etag(self, key: str) -> tuple[bytes, str]:
        def get() -> tuple[bytes, str]:
            answer = self._client.get_object(**self._place(key))
            return bytes(answer["Body"].read()), str(answer["ETag"])

        with self._faults(key):
            return again(get, self._settings.max_attempts)

    def chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        with self._faults(key):
            yield from stream(self._client, self._place(key), start, self._settings.max_attempts)

    def download(self, key: str, path: Path) -> None:
        place = self._place(key)
        with faults.writing(path), self._faults(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            again(lambda: self._client.download_file(place["Bucket"], place["Key"], str(path), Config=self._transfer),
                  self._settings.max_attempts)

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        check_condition(key, if_absent, if_match)
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        labels = self._labels(hashlib.sha256(data).hexdigest())
        with self._faults(key, if_match=if_match is not None):
            try:
                answer = self._client.put_object(**self._place(key), Body=data, ChecksumSHA256=checksum(data),
                                                 **labels, **condition)
            except ClientError as error:
                return self._written_before(key, labels, error)
            return str(answer["ETag"])

    def upload(self, key: str, path: Path, *, sha256: str | None = None) -> str:
        part_size = self._settings.part_mb * _MB
        with faults.reading(path):
            if path.stat().st_size <= part_size:
                data = path.read_bytes()
                if sha256 not in (None, sha256_bytes(data)):
                    raise changed(path)
                return self.write(key, data)
        place, sha256 = self._place(key), sha256 or sha256_file(path)
        labels = self._labels(sha256)
        with self._faults(key):
            try:
                return upload_parts(
                    self._client, path, bucket=place["Bucket"], key=place["Key"], sha256=sha256, part_size=part_size,
                    workers=self._settings.max_concurrency, create=labels)
            except ClientError as error:
                return self._written_before(key, labels, error)

    def copy(self, source: str, target: str, *, sha256: str | None = None) -> None:
        origin, final = self._place(source), self._place(target)
        with self._faults(f"{source} (copied to {target})"):
            same: dict[str, str] = {}
            if sha256 is not None:
                found, etag = self._sha256(source)
                check_copied(self.locate(source), found, sha256)
                same = {"CopySourceIfMatch": etag}
            self._client.copy(origin, final["Bucket"], final["Key"], Config=self._transfer,
                              ExtraArgs={"ChecksumAlgorithm": "SHA256", **same, **self._encryption})

    def _sha256(self, key: str) -> tuple[str, str]:
        """Of the object, and its etag. The server checked it when this store wrote it; what others wrote is read."""
        answer = self._client.head_object(**self._place(key))
        known = str(answer["Metadata"].get("sha256", ""))
        if known:
            return known, str(answer["ETag"])
        digest = hashlib.sha256()
        for data in self.chunks(key):
            digest.update(data)
        return digest.hexdigest(), str(answer["ETag"])

    def head(self, key: str) -> ObjectInfo | None:
        with self._faults(key):
            try:
                answer = self._client.head_object(**self._place(key))
            except ClientError as error:
                if not is_missing_object(error):
                    raise
                self._check_bucket()
                return None
        return ObjectInfo(key=key, size=int(answer["ContentLength"]), etag=str(answer["ETag"]),
                          modified=answer["LastModified"].timestamp())

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        wanted = self._prefix + check_prefix(prefix)
        found: list[ObjectInfo] = []
        with self._faults(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=wanted):
                found.extend(ObjectInfo(key=item["Key"].removeprefix(self._prefix), size=int(item["Size"]),
                                        etag=str(item["ETag"]), modified=item["LastModified"].timestamp())
                             for item in page.get("Contents", ()))
        # servers that keep folders list `a/b` before `a-b`; S3 itself does not
        yield from sorted(found, key=lambda info: info.key)

    def delete(self, key: str) -> None:
        with self._faults(key):
            self._client.delete_object(**self._place(key))

    def empty_folders(self, prefix: str, *, remove: bool = False) -> int:
        check_prefix(prefix)
        return 0

    @property
    def _client(self) -> Any:
        """A connection pool must not be shared with a forked child."""
        if self._owner != os.getpid():
            self._connection = _connect(self._settings)
            self._owner = os.getpid()
        return self._connection

    @property
    def _transfer(self) -> TransferConfig:
        part = self._settings.part_mb * _MB
        return TransferConfig(multipart_threshold=part, multipart_chunksize=part,
                              max_concurrency=self._settings.max_concurrency)

    @property
    def _encryption(self) -> dict[str, str]:
        key_id = {"SSEKMSKeyId": self._settings.kms_key_id} if self._settings.kms_key_id else {}
        return {"ServerSideEncryption": self._settings.sse, **key_id} if self._settings.sse else {}

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def _labels(self, sha256: str) -> dict[str, Any]:
        return {"Metadata": {"sha256": sha256, "write": uuid.uuid4().hex}, **self._encryption}

    def _written_before(self, key: str, labels: dict[str, Any], error: ClientError) -> str:
        """The etag, if the write that now conflicts is this one's own earlier attempt; otherwise the error."""
        repeated = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0
        if repeated and status_of(error) in (404, 409, 412):
            answer = self._client.head_object(**self._place(key))
            if answer["Metadata"].get("write") == labels["Metadata"]["write"]:
                return str(answer["ETag"])
        raise error

    def _check_bucket(self) -> None:
        """A HEAD cannot tell an absent bucket from an absent object; an absent bucket must not read as an empty one."""
        if not self._bucket_seen:
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
            self._bucket_seen = True

    @contextmanager
    def _faults(self, key: str, *, if_match: bool = False) -> Iterator[None]:
        try:
            yield
        except S3_ERRORS as error:
            where = f"s3://{self._bucket}/{self._prefix}{key} at {self._settings.endpoint_url or 'AWS'}"
            raise as_store_error(error, where, if_match=if_match) from error


def _connect(settings: S3Connection) -> Any:
    session = botocore.session.Session(profile=settings.profile)
    if settings.credentials_file is not None:
        session.set_config_variable("credentials_file", str(settings.credentials_file))
    config = Config(
        s3={"addressing_style": settings.addressing_style},
        retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
        connect_timeout=settings.connect_timeout_s, read_timeout=settings.read_timeout_s,
        max_pool_connections=max(10, settings.max_concurrency),
    )
    client = boto3.Session(botocore_session=session).client(
        "s3", endpoint_url=settings.endpoint_url, region_name=settings.region, config=config)
    client.meta.events.register("after-call-error.s3", no_answer)
    _sign_checksum_not_body(client)
    return client


def _sign_checksum_not_body(client: Any) -> None:
    """The signed header with the body's SHA-256 covers the body already; without TLS boto would hash it once more."""
    unsigned = client.meta.config.merge(
        Config(s3={**client.meta.config.s3, "payload_signing_enabled": False}))

    def before_sign(request: Any, **_: Any) -> None:
        if "x-amz-checksum-sha256" in request.headers:
            request.context["client_config"] = unsigned

    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-sign.s3.{operation}", before_sign)
