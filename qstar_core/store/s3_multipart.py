"""One large file as parts, each with its SHA-256.

Memory holds one part per worker and one more. boto3's own transfer cannot tell that the file changed while it was sent;
here such an upload ends before it becomes an object. A failed upload is aborted; what a killed process leaves is not
visible as an object, and a lifecycle rule (AbortIncompleteMultipartUpload) removes it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from qstar_core.errors import IntegrityError
from qstar_core.store import faults
from qstar_core.store.s3_errors import S3_ERRORS

_MOST_PARTS = 10_000


def checksum(data: bytes) -> str:
    """SHA-256 as S3 wants it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def upload_parts(client: Any, path: Path, *, bucket: str, key: str, sha256: str, part_size: int, workers: int,
                 create: dict[str, Any]) -> str:
    """Upload the file and return its etag. `create` goes into the first request."""
    place = {"Bucket": bucket, "Key": key}
    started = client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256", **create)
    place["UploadId"] = started["UploadId"]
    try:
        parts = _send(client, place, _parts(path, part_size, sha256), workers)
        finished = client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    except BaseException:
        with suppress(*S3_ERRORS):  # the first error is the one to report
            client.abort_multipart_upload(**place)
        raise
    return str(finished["ETag"])


def _parts(path: Path, part_size: int, sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    with faults.reading(path), path.open("rb") as file:
        size = max(part_size, -(-path.stat().st_size // _MOST_PARTS))
        while data := file.read(size):
            digest.update(data)
            yield data
    if digest.hexdigest() != sha256:
        raise changed(path)


def changed(path: Path) -> IntegrityError:
    return IntegrityError(f"{path} changed while it was uploaded", "write it to the end before it is stored")


def _send(client: Any, place: dict[str, Any], parts: Iterator[bytes], workers: int) -> list[dict[str, Any]]:
    def send(number: int, data: bytes) -> dict[str, Any]:
        digest = checksum(data)
        answer = client.upload_part(**place, PartNumber=number, Body=data, ChecksumSHA256=digest)
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": digest}

    done: list[dict[str, Any]] = []
    waiting: set[Future[dict[str, Any]]] = set()
    with ThreadPoolExecutor(workers, thread_name_prefix="s3-part") as pool:
        for number, data in enumerate(parts, start=1):
            waiting.add(pool.submit(send, number, data))
            if len(waiting) >= workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                done.extend(future.result() for future in finished)
        done.extend(future.result() for future in waiting)
    return sorted(done, key=lambda part: int(part["PartNumber"]))
