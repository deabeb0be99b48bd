"""`make bench NAME=publish`: 1 GB in shards to a local S3 server, published here and plainly uploaded by boto3, at the
same number of requests at a time, shard by shard in turn. Each side is a process of its own, whose memory is told too.

Published means: every file with its SHA-256 checked by the server, heads compared, manifest, `latest`. The hashes are
known from writing the shards. Reading a version back and hashing it (`qstar datasets verify`) is told apart.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Figure, record
from qstar_core.store.integrity import sha256_file
from qstar_core.store.localserver import LocalS3Server, RunningS3

_SHARDS, _SHARD_MB, _RUNS, _AT_ONCE = 16, 64, 3, 4


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hashes = _write(folder / "shards")
        (folder / "hashes.json").write_text(json.dumps(hashes))
        runs = [_run(folder, number) for number in range(_RUNS)]
    ratios = [run.published / run.plain for run in runs]
    record("publish", [
        Figure("publish-1gb-over-plain-upload", statistics.median(ratios), "× the time of boto3's upload_file", 1.15),
        Figure("publish-1gb-seconds", statistics.median(run.published for run in runs), "s"),
        Figure("plain-upload-1gb-seconds", statistics.median(run.plain for run in runs), "s"),
        Figure("verify-1gb-seconds", statistics.median(run.verified for run in runs), "s, every byte read back"),
        Figure("publish-peak-memory", max(run.publish_mb for run in runs), "MB", 300),
        Figure("verify-peak-memory", max(run.verify_mb for run in runs), "MB", 300),
    ], "make bench NAME=publish", f"{_SHARDS} shards of {_SHARD_MB} MB, {_AT_ONCE} requests at a time, medians of "
       f"{_RUNS} runs, shard by shard in turn; SeaweedFS on the same machine. Ratios: "
       f"{', '.join(f'{ratio:.3f}' for ratio in sorted(ratios))}.")


@dataclass(frozen=True, slots=True)
class _Run:
    published: float
    plain: float
    verified: float
    publish_mb: float
    verify_mb: float


class _Worker:
    """A process of one mode: a line in is a piece of work, a line out its seconds; the last line out is its memory."""

    def __init__(self, mode: str, folder: Path, server: RunningS3) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.publish", mode, str(folder), server.endpoint_url], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **server.environment})
        self.seconds = 0.0
        self._answer()

    def do(self, piece: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{piece}\n")
        self._process.stdin.flush()
        self.seconds += self._answer()

    def peak_mb(self) -> float:
        out, _ = self._process.communicate()
        return float(out)

    def _answer(self) -> float:
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())


def _run(folder: Path, number: int) -> _Run:
    """A server of its own, so that the disk never holds more than one run."""
    place = folder / f"s3-{number}"
    server = LocalS3Server(place, bucket="bench")
    try:
        running = server.start()
        publish, plain, verify = (_Worker(mode, folder, running) for mode in ("publish", "plain", "verify"))
        for index, path in enumerate(sorted((folder / "shards").iterdir())):
            for worker in (publish, plain) if index % 2 else (plain, publish):
                worker.do(path.name)
        publish.do("")
        verify.do("")
        plain.peak_mb()
        return _Run(publish.seconds, plain.seconds, verify.seconds, publish.peak_mb(), verify.peak_mb())
    finally:
        server.stop()
        shutil.rmtree(place)


def _write(folder: Path) -> dict[str, str]:
    folder.mkdir()
    hashes = {}
    for number in range(_SHARDS):
        path = folder / f"{number:05d}.bin"
        path.write_bytes(os.urandom(_SHARD_MB << 20))
        hashes[path.name] = sha256_file(path)
    return hashes


def work(mode: str, folder: Path, endpoint_url: str) -> None:
    do = {"publish": _publish, "plain": _plain, "verify": _verify}[mode](folder, endpoint_url)
    print(0.0, flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        do(line.strip())
        print(time.perf_counter() - started, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _publish(folder: Path, endpoint_url: str) -> Callable[[str], None]:
    """A shard; or, for an empty line, heads, manifest and `latest`."""
    from qstar_core.records import FileRef, GateReport, Manifest
    from qstar_core.store.integrity import store_file
    from qstar_core.store.versions import Versions

    hashes, files = json.loads((folder / "hashes.json").read_text()), list[FileRef]()
    store = _store(endpoint_url)
    versions = Versions(store, "d")

    def do(name: str) -> None:
        if name:
            files.append(store_file(store, f"{versions.key('v')}/{name}", folder / "shards" / name,
                                    sha256=hashes[name]))
            return
        versions.add(Manifest(
            dataset="d", version="v", round="v", sampling_hash="", config_hash="", code_version="", created="",
            run_id="", rows=0, files=tuple(files), funnel=(), gate=GateReport(checks=()), models={}, templates={},
            settings={}, speed={}, provenance={}))
        versions.promote("v")

    return do


def _plain(folder: Path, endpoint_url: str) -> Callable[[str], None]:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    client = boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1",
                          config=Config(s3={"addressing_style": "path"}))
    config = TransferConfig(multipart_chunksize=16 << 20, multipart_threshold=16 << 20, max_concurrency=_AT_ONCE)
    return lambda name: client.upload_file(str(folder / "shards" / name), "bench", f"plain/{name}", Config=config)


def _verify(folder: Path, endpoint_url: str) -> Callable[[str], None]:
    from qstar_core.config import Settings
    from qstar_core.stages.verifying import verify
    from qstar_core.stages.workspace import Workspace
    from qstar_core.store.versions import Versions

    workspace = Workspace(Settings(), _store(endpoint_url))

    def do(_: str) -> None:
        found = verify(workspace, Versions(workspace.store, "d"), "v")
        assert [fault.file for fault in found.faults] == ["manifest.json"], found.faults  # it has no rows to tell of

    return do


def _store(endpoint_url: str):
    from qstar_core.config import S3Settings
    from qstar_core.store.s3 import S3Store

    return S3Store("bench", "", S3Settings(endpoint_url=endpoint_url, region="us-east-1", addressing_style="path",
                                               max_concurrency=_AT_ONCE))


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), sys.argv[3]) if len(sys.argv) > 1 else main()
