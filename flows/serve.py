"""The Prefect server of a project: the one that PREFECT_API_URL names, else one that is started here in the background,
shared by all runs of the project, and stopped by `qstar down`. It keeps its data in SQLite, or in the database that
PREFECT_API_DATABASE_CONNECTION_URL names.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.background import start_prefect, stop_prefect
from qstar_core.errors import ServerError
from qstar_core.home import subfolder

_USUAL_PORT = 4200
_START_TIMEOUT_S = 120.0
# Both are Prefect's names of one setting; of two, it takes the first.
_DATABASE = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
# A request is tried for half a minute, in which a server can restart, and a run that cannot reach it ends in about a
# minute instead of several. Runs tell every half minute that they live.
_CLIENT = {"PREFECT_CLIENT_MAX_RETRIES": "4", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@dataclass(frozen=True, slots=True)
class PrefectServer:
    api_url: str
    new: bool = False

    @property
    def ui_url(self) -> str:
        """Where a person looks; never with the credentials that the address may hold."""
        return without_credentials(self.api_url).removesuffix("/api")

    def run_page(self, flow_run_id: str) -> str:
        return f"{self.ui_url}/runs/flow-run/{flow_run_id}"


def without_credentials(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else address.rpartition("@")[2]


def ensure_server() -> PrefectServer:
    """A server that answers, and this process's environment set to use it. Call it before prefect is imported."""
    for name, value in _CLIENT.items():
        os.environ.setdefault(name, value)
    given = os.environ.get("PREFECT_API_URL")
    if given and not os.environ.get("QSTAR_OWN_SERVER"):
        if not _answers(given):
            raise ServerError(f"no Prefect server answers at PREFECT_API_URL={without_credentials(given)}",
                              "start it, or unset PREFECT_API_URL to use the project's own")
        return PrefectServer(given)
    server = _own_server()
    os.environ.update(_environment(), PREFECT_API_URL=server.api_url, QSTAR_OWN_SERVER="1")
    return server


def running_server() -> PrefectServer | None:
    """The project's own server, if it answers."""
    try:
        port = json.loads(_state_file().read_text())["port"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    url = _url(port)
    return PrefectServer(url) if _answers(url) else None


def stop_server() -> bool:
    """Whether there was one to stop."""
    try:
        known = json.loads(_state_file().read_text())
        pid, port = int(known["pid"]), int(known["port"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    _remember(port)
    return stop_prefect(pid, patience_s=15)


def _own_server() -> PrefectServer:
    with _locked():
        server = running_server()
        return server if server is not None else _start()


def _start() -> PrefectServer:
    port = _free_port()
    log = subfolder("prefect") / "server.log"
    process = start_prefect(["server", "start", "--host", "127.0.0.1", "--port", str(port)], log,
                            {**_environment(), "PREFECT_UI_API_URL": _url(port)})
    _remember(port, process.pid)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if _answers(_url(port)):
            return PrefectServer(_url(port), new=True)
        if process.poll() is not None:
            raise ServerError(f"the Prefect server ended with code {process.returncode}", f"its log is {log}")
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    raise ServerError(f"the Prefect server did not answer within {_START_TIMEOUT_S:.0f} s", f"its log is {log}")


def _environment() -> dict[str, str]:
    """For the server and for the runs: nothing leaves the machine, and everything lies below the project's home
    unless a database is given."""
    folder = subfolder("prefect")
    database = next((os.environ[name] for name in _DATABASE if os.environ.get(name)),
                    f"sqlite+aiosqlite:///{folder / 'prefect.db'}")
    return {
        "PREFECT_HOME": str(folder),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_MEMO_STORE_PATH": str(folder / "memo_store.toml"),
        _DATABASE[-1]: database,
    }


def _state_file() -> Path:
    return subfolder("prefect") / "server.json"


@contextmanager
def _locked() -> Iterator[None]:
    with (subfolder("prefect") / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


def _answers(api_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _remember(port: int, pid: int | None = None) -> None:
    """The port outlives the server, so that the links of earlier runs work again with the next one."""
    _state_file().write_text(json.dumps({"port": port} if pid is None else {"port": port, "pid": pid}))


def _free_port() -> int:
    """The one of the last time, or the usual one that people know, or any."""
    try:
        last = int(json.loads(_state_file().read_text())["port"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        last = _USUAL_PORT
    for wanted in (last, _USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: its last links may linger
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("no free port on 127.0.0.1", "close a program that listens there")
