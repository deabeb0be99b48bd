"""The workers of a project: one process for each work pool of the catalogue, started in the background by `qstar up`,
which runs the deployments on this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.background import is_prefect, start_prefect, stop_prefect
from flows.serve import without_credentials
from qstar_core.config import Settings
from qstar_core.errors import ServerError
from qstar_core.home import home, store_uri, subfolder
from qstar_core.store.integrity import sha256_bytes

_START_TIMEOUT_S = 120.0
# Ending a worker ends its runs, which keep what is finished first.
_STOP_PATIENCE_S = 40.0
_POLL = {"PREFECT_WORKER_QUERY_SECONDS": "5"}


@dataclass(frozen=True, slots=True)
class Worker:
    """Its process, and the store of the settings that it was started with."""

    pid: int
    store: str


def start_workers(pools: Iterable[str], store: str) -> list[str]:
    """Those pools that had no worker of this project. Returns when the server knows them."""
    known = running_workers()
    wanted = [pool for pool in pools if pool not in known]
    started = {pool: _start(pool) for pool in wanted}
    _remember({**known, **{pool: Worker(process.pid, store) for pool, process in started.items()}})
    for pool, process in started.items():
        _wait(pool, process)
    return wanted


def stop_workers() -> list[str]:
    """The pools whose worker was stopped."""
    stopped = [pool for pool, found in running_workers().items() if stop_prefect(found.pid, _STOP_PATIENCE_S)]
    _remember({})
    return stopped


def running_workers() -> dict[str, Worker]:
    """The worker of every pool that has one."""
    known: dict[str, Worker] = {}
    with suppress(FileNotFoundError, ValueError, AttributeError, KeyError, TypeError):
        known = {str(pool): Worker(int(found["pid"]), str(found["store"]))
                 for pool, found in json.loads(_state_file().read_text()).items()}
    return {pool: found for pool, found in known.items() if is_prefect(found.pid)}


def other_stores(store: str) -> list[str]:
    """The stores of running workers that are not this one."""
    return sorted({found.store for found in running_workers().values()} - {store})


def store_of(settings: Settings) -> str:
    """Where the settings' store is: the same text for the same place, from whatever folder."""
    uri, endpoint = store_uri(settings), settings.store.s3.endpoint_url
    if "://" not in uri:
        return str(Path(uri).expanduser().absolute())
    return f"{uri} at {without_credentials(endpoint)}" if uri.startswith("s3://") and endpoint else uri


def _start(pool: str) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in _POLL.items() if name not in os.environ}
    return start_prefect(["worker", "start", "--pool", pool, "--name", _name(pool)], _log(pool),
                         {**env, "QSTAR_HOME": str(home())})


def _wait(pool: str, process: subprocess.Popen[bytes]) -> None:
    from prefect.client.orchestration import get_client

    deadline = time.monotonic() + _START_TIMEOUT_S
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerError(f"the worker of the pool {pool} ended with code {process.returncode}",
                                  f"its log is {_log(pool)}")
            for worker in client.read_workers_for_work_pool(pool):
                if worker.name == _name(pool) and worker.status == "ONLINE":
                    return
            time.sleep(0.5)
    raise ServerError(f"the worker of the pool {pool} did not start within {_START_TIMEOUT_S:.0f} s",
                      f"its log is {_log(pool)}")


def _name(pool: str) -> str:
    """Projects that share a server have workers of their own; a name cannot hold a path."""
    return f"{pool} {sha256_bytes(str(home()).encode())[:12]}"


def _log(pool: str) -> Path:
    return subfolder("prefect") / f"worker-{pool}.log"


def _state_file() -> Path:
    return subfolder("prefect") / "workers.json"


def _remember(workers: dict[str, Worker]) -> None:
    _state_file().write_text(json.dumps({pool: asdict(found) for pool, found in workers.items()}))
