"""Several processes at one store: of two publishers one wins and the other is told, and no reader sees a half version.
What a publisher holds in memory does not grow with what it publishes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qstar_core.store.directory import DirectoryStore
from qstar_core.store.integrity import read_verified
from qstar_core.store.localserver import RunningS3
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions

_PUBLISH = """
import json, sys, time
from pathlib import Path
from qstar_core.config import S3Settings
from qstar_core.errors import ConflictError
from qstar_core.records import GateReport, Manifest
from qstar_core.store.integrity import store_file
from qstar_core.store.opening import open_store
from qstar_core.store.versions import Versions

given = json.loads(sys.argv[1])
store = open_store(given["uri"], S3Settings(**given["s3"]))
versions = Versions(store, "d")
print("ready", flush=True)
sys.stdin.readline()
for name in given["names"]:
    files = tuple(store_file(store, f"{versions.key(name)}/{path.name}", path)
                  for path in sorted(Path(given["folder"]).iterdir()))
    try:
        versions.add(Manifest(
            dataset="d", version=name, round=name, sampling_hash="", config_hash="c", code_version="", created="",
            run_id=given["who"], rows=0, files=files, funnel=(), gate=GateReport(checks=()), models={}, templates={},
            settings={}, speed={}, provenance={}))
        print("won", name, flush=True)
    except ConflictError as error:
        print("lost", name, error, flush=True)
    versions.promote(name)
status = Path("/proc/self/status").read_text()
print("peak", status.split("VmHWM:")[1].split()[0], flush=True)
"""


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ObjectStore, dict[str, object], dict[str, str]]:
    """A store; how another process opens it; what it needs in its environment."""
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store"), {"uri": str(tmp_path / "store"), "s3": {}}, {}
    server: RunningS3 = request.getfixturevalue("s3_server")
    settings = {"endpoint_url": server.endpoint_url, "region": "us-east-1", "addressing_style": "path"}
    store = server.store(f"publishers/{tmp_path.name}")
    return store, {"uri": store.uri, "s3": settings}, server.environment


def start(place: tuple[ObjectStore, dict[str, object], dict[str, str]], folder: Path, names: list[str],
          who: str) -> subprocess.Popen[str]:
    _, opening, env = place
    given = {**opening, "folder": str(folder), "names": names, "who": who}
    process = subprocess.Popen([sys.executable, "-c", _PUBLISH, json.dumps(given)], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **env})
    assert process.stdout is not None and process.stdout.readline() == "ready\n", process.communicate()
    return process


def test_of_two_publishers_exactly_one_wins_and_no_reader_sees_half(
        place: tuple[ObjectStore, dict[str, object], dict[str, str]], tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(4)]
    for number in range(3):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{number}.bin").write_bytes(os.urandom(40_000))
    pair = [start(place, tmp_path / "files", names, who) for who in ("one", "two")]
    for process in pair:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    versions, seen = Versions(place[0], "d"), 0
    while any(process.poll() is None for process in pair):
        visible = list(versions.names())
        latest = versions.latest()
        for name in {*visible[-1:], *([latest.version] if latest else [])}:
            manifest = versions.manifest(name)
            assert len(manifest.files) == 3
            for ref in manifest.files:
                read_verified(place[0], ref)
            seen += 1
        time.sleep(0.01)
    told = [process.communicate() for process in pair]
    lines = [line for out, err in told for line in out.splitlines() if line.startswith(("won", "lost"))]
    assert not any(err for _, err in told), told
    assert sorted(line.split()[1] for line in lines if line.startswith("won")) == names
    lost = [line for line in lines if line.startswith("lost")]
    assert len(lost) == len(names) and all("was published by another run in this moment" in line for line in lost)
    latest = versions.latest()
    assert seen and latest is not None and sorted(latest.history) == names


@pytest.mark.parametrize("size_mb", [20, pytest.param(60, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_what_is_published(
        place: tuple[ObjectStore, dict[str, object], dict[str, str]], tmp_path: Path, size_mb: int) -> None:
    peaks = []
    for name, megabytes in (("small", 1), ("large", size_mb)):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(5):
            (folder / f"{number}.bin").write_bytes(os.urandom(1 << 20) * megabytes)
        process = start(place, folder, [name], "one")
        out, err = process.communicate("go\n", timeout=120)
        assert not err, err
        peaks.append(int(out.split("peak")[1]) / 1024)
    small, large = peaks
    assert large < 300 and large - small < 6 * 16 + 24, "a part for each of four requests, one being read, one joined"
