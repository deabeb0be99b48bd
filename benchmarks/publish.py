"""`make bench NAME=publish`: 1 GB in shards to a local S3 server, published here and plainly uploaded by boto3, at the
same number of requests at a time, in turn. Each run is a process of its own, whose memory is told too.

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
        found: dict[str, list[tuple[float, float]]] = {"publish": [], "plain": [], "verify": []}
        for run in range(_RUNS):
            turns = ("publish", "verify", "plain") if run % 2 == 0 else ("plain", "publish", "verify")
            server = LocalS3Server(folder / f"s3-{run}", bucket="bench")
            try:
                running = server.start()
                for mode in turns:
                    found[mode].append(_measured(mode, folder, running))
            finally:
                server.stop()
                shutil.rmtree(folder / f"s3-{run}")
    published, plain, checked = (found[mode] for mode in ("publish", "plain", "verify"))
    ratios = [ours / theirs for (ours, _), (theirs, _) in zip(published, plain, strict=True)]
    record("publish", [
        Figure("publish-1gb-over-plain-upload", statistics.median(ratios), "× of the time of boto3's upload_file", 1.15),
        Figure("publish-1gb-seconds", statistics.median(seconds for seconds, _ in published), "s"),
        Figure("plain-upload-1gb-seconds", statistics.median(seconds for seconds, _ in plain), "s"),
        Figure("verify-1gb-seconds", statistics.median(seconds for seconds, _ in checked), "s, every byte read back"),
        Figure("publish-peak-memory", max(peak for _, peak in published), "MB", 300),
        Figure("verify-peak-memory", max(peak for _, peak in checked), "MB", 300),
    ], "make bench NAME=publish", f"{_SHARDS} shards of {_SHARD_MB} MB, {_AT_ONCE} requests at a time, medians of "
       f"{_RUNS} pairs in turn; SeaweedFS on the same machine.")


def _measured(mode: str, folder: Path, server: RunningS3) -> tuple[float, float]:
    """Seconds, and megabytes of memory at most."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.publish", mode, str(folder), server.endpoint_url],
                          stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **server.environment})
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def _write(folder: Path) -> dict[str, str]:
    folder.mkdir()
    hashes = {}
    for number in range(_SHARDS):
        path = folder / f"{number:05d}.bin"
        path.write_bytes(os.urandom(_SHARD_MB << 20))
        hashes[path.name] = sha256_file(path)
    return hashes


def work(mode: str, folder: Path, endpoint_url: str) -> None:
    prepared = {"publish": _publish, "plain": _plain, "verify": _verify}[mode](folder, endpoint_url)
    started = time.perf_counter()
    prepared()
    print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _publish(folder: Path, endpoint_url: str) -> Callable[[], None]:
    from qstar_core.records import GateReport, Manifest
    from qstar_core.store.integrity import store_file
    from qstar_core.store.versions import Versions

    hashes = json.loads((folder / "hashes.json").read_text())
    store = _store(endpoint_url)
    versions = Versions(store, "d")

    def run() -> None:
        files = tuple(store_file(store, f"{versions.key('v')}/{name}", folder / "shards" / name, sha256=sha256)
                      for name, sha256 in hashes.items())
        versions.add(Manifest(
            dataset="d", version="v", round="v", sampling_hash="", config_hash="", code_version="", created="",
            run_id="", rows=0, files=files, funnel=(), gate=GateReport(checks=()), models={}, templates={},
            settings={}, speed={}, provenance={}))
        versions.promote("v")

    return run


def _plain(folder: Path, endpoint_url: str) -> Callable[[], None]:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    client = boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1",
                          config=Config(s3={"addressing_style": "path"}))
    config = TransferConfig(multipart_chunksize=16 << 20, multipart_threshold=16 << 20, max_concurrency=_AT_ONCE)

    def run() -> None:
        for path in sorted((folder / "shards").iterdir()):
            client.upload_file(str(path), "bench", f"plain/{path.name}", Config=config)

    return run


def _verify(folder: Path, endpoint_url: str) -> Callable[[], None]:
    from qstar_core.config import Settings
    from qstar_core.stages.verifying import verify
    from qstar_core.stages.workspace import Workspace
    from qstar_core.store.versions import Versions

    store = _store(endpoint_url)

    def run() -> None:
        found = verify(Workspace(Settings(), store), Versions(store, "d"), "v")
        assert [fault.file for fault in found.faults] == ["manifest.json"], found.faults  # it has no rows to tell of

    return run


def _store(endpoint_url: str):
    from qstar_core.config import S3Settings
    from qstar_core.store.s3 import S3Store

    return S3Store("bench", "", S3Settings(endpoint_url=endpoint_url, region="us-east-1", addressing_style="path",
                                               max_concurrency=_AT_ONCE))


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), sys.argv[3]) if len(sys.argv) > 1 else main()
