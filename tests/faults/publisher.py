"""A publisher in a process of its own, as the publish task is one; it can be killed."""

from __future__ import annotations

import multiprocessing
from multiprocessing.process import BaseProcess

from qstar_core.config import Settings
from qstar_core.stages.plan import load_plan
from qstar_core.stages.publishing import publish
from qstar_core.stages.workspace import Workspace
from qstar_core.store.s3 import S3Store

# forks of a process that has loaded everything and runs no threads
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


def run(store: S3Store, settings: Settings, plan_key: str) -> None:
    publish(Workspace(settings, store), load_plan(store, plan_key))


def started(store: S3Store, settings: Settings, plan_key: str) -> BaseProcess:
    process = _SERVER.Process(target=run, args=(store, settings, plan_key), daemon=True)
    process.start()
    return process
