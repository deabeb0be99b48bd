"""Stores behind a bad network. `through(script)` opens one prefix of the real server through a proxy of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from qstar_core.records import ModelRef
from qstar_core.stages.publishing import publish
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.localserver import RunningS3
from qstar_core.store.s3 import S3Store
from tests.faults.proxy import FaultProxy, Request, Script
from tests.faults.rounds import Round, files
from tests.stages.scripted import Project, models_of, settings_of, write_checkpoint

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


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    folder = tmp_path_factory.mktemp("judged")
    models: dict[str, ModelRef] = models_of(write_checkpoint(folder / "s", 1), write_checkpoint(folder / "t", 2))
    store = DirectoryStore(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QSTAR_HOME", str(folder / "home"))
        project = Project(store, models, settings_of())
        older = project.judged("older")
        publish(project.workspace(), older)
        plan = project.judged("r1")
        found = Round(project, plan, older.version, {info.key: store.read(info.key) for info in store.list("")}, {})
        found.publish(store)
        yield replace(found, wanted=files(store, plan))
