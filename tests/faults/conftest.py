"""Stores behind a bad network. `through(script)` opens one prefix of the real server through a proxy of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from qstar_core.store.localserver import RunningS3
from qstar_core.store.s3 import S3Store
from tests.faults.proxy import FaultProxy, Request, Script

PART_MB = 5


@dataclass
class Through:
    """A store and the proxy before it."""

    proxy: FaultProxy
    store: S3Store

    def meets(self, script: Script) -> None:
        """From now on, this script; what was seen is forgotten."""
        self.proxy.script = script
        self.proxy.seen.clear()


@dataclass
class Network:
    """One empty prefix: `direct` reaches it undisturbed, a call reaches it through a script of faults."""

    server: RunningS3
    direct: S3Store
    prefix: str
    opened: ExitStack

    def __call__(self, script: Script, on_fault: Callable[[Request], None] = lambda _: None, *,
                 timeout_s: float = 20.0) -> Through:
        proxy = FaultProxy(self.server.endpoint_url, script, on_fault)
        self.opened.callback(proxy.close)
        settings = self.server.settings.model_copy(update={
            "endpoint_url": proxy.endpoint_url, "part_mb": PART_MB, "read_timeout_s": timeout_s})
        return Through(proxy, S3Store(self.server.bucket, self.prefix, settings))


@pytest.fixture
def through(s3_server: RunningS3, request: pytest.FixtureRequest) -> Iterator[Network]:
    with ExitStack() as opened:
        # the same in every run, because the faults of a script depend on the key
        prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
        yield Network(s3_server, s3_server.store(prefix), prefix, opened)
