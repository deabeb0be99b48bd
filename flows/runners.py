"""Where the shards of a round are sampled: one after another in the run's process, or by workers of Ray, one for each
GPU. The only home of Ray.

Both do the same: the ledger says what is finished, and random numbers belong to samples, so the rows are the same. A
worker that is lost costs what its shard had sampled since the last checkpoint; another one takes the shard up.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.runtime import flow_run

from flows.rayworker import Halved, Sampled, ShardWorker, Told, Waiting
from qstar_core.config import Settings
from qstar_core.errors import ConfigError, EngineError, QstarError, ServerError
from qstar_core.home import home, store_uri
from qstar_core.stages.generate import ledger_entry
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.workspace import Workspace
from tasks.events import Event, ShardDone, emit
from tasks.generate import generate_task, log_shard, tell_kept, tell_of_holder, tell_of_memory
from tasks.retrying import DELAYS_S, RETRIES, retry_if_transient

_POLL_S = 0.5
_CONNECT_S = 10.0
_PATIENCE_S = 60.0
_STARTS = 3


def check_runner(settings: Settings) -> None:
    """Before anything runs: what the settings ask for is installed, and answers."""
    if settings.operations.runner != "ray":
        return
    if find_spec("ray") is None:
        raise ConfigError("operations.runner = ray, and Ray is not installed",
                          "pip install 'qstar[ray]', or set operations.runner=local")
    address = settings.operations.ray_address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():  # Ray itself would try for minutes; `auto` it looks up on the machine
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
        except (OSError, OverflowError) as error:
            raise ServerError(f"no Ray answers at operations.ray_address = {address} ({error})",
                              "see that it runs, or correct the address; empty starts one here") from None


def sample_shards(settings: Settings, plan_key: str, shards: Sequence[int]) -> None:
    """Returns when all of them are in the ledger."""
    if settings.operations.runner == "ray" and shards:
        ray_task(settings, plan_key)
        return
    for shard in shards:
        generate_task(settings, plan_key, shard)


@task(name="generate on ray", retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=retry_if_transient)
def ray_task(settings: Settings, plan_key: str) -> int:
    """All shards of the plan that the ledger does not have; returns how many there were."""
    workspace = Workspace.open(settings)
    plan = load_plan(workspace.store, plan_key)
    left = [shard.index for shard in plan.shards if ledger_entry(workspace.store, plan, shard.index) is None]
    with _cluster(settings):
        _Sampling(settings, plan, plan_key, left).run()
    return len(left)


class _Sampling:
    """Workers take shards as they come free, and are replaced when they are lost."""

    def __init__(self, settings: Settings, plan: Plan, plan_key: str, shards: Sequence[int]) -> None:
        import ray
        from ray.util.queue import Queue

        gpus = int(ray.cluster_resources().get("GPU", 0)) if settings.engine.device != "cpu" else 0
        self._plan, self._left = plan, deque(shards)
        self._workers = min(len(shards), settings.operations.ray_workers or max(1, gpus))
        if not gpus and self._workers > 1 and settings.operations.device_lock == "on":
            raise ConfigError(f"operations.device_lock = on lets one of the {self._workers} workers have the CPU",
                              "set it to auto")
        self._told = Queue(actor_options={"num_cpus": 0})
        self._worker = ray.remote(num_cpus=settings.engine.threads or 1, num_gpus=1 if gpus else 0)(ShardWorker)
        who = f"{plan.dataset} {plan.version}, run {flow_run.name or 'by hand'}"
        # a directory is named from this process's place; workers have another
        store = settings.store.model_copy(update={"uri": _absolute(store_uri(settings))})
        self._arguments = (ray.put(settings.model_copy(update={"store": store})), plan_key, who, self._told.put)
        self._busy: dict[Any, tuple[Any, int | None]] = {}
        self._unstarted = 0

    def run(self) -> None:
        for _ in range(self._workers):
            self._start()
        started, warned = time.monotonic(), False
        try:
            while self._left or any(shard is not None for _, shard in self._busy.values()):
                waits = all(shard is None for _, shard in self._busy.values())
                if waits and not warned and time.monotonic() - started > _PATIENCE_S:
                    warned = True
                    tell_of_holder(f"the Ray cluster has started no worker for {_PATIENCE_S:.0f} s")
                self._step()
        finally:
            self._stop()

    def _step(self) -> None:
        import ray

        ready, _ = ray.wait(list(self._busy), num_returns=1, timeout=_POLL_S)
        self._tell()
        for answer in ready:
            worker, shard = self._busy.pop(answer)
            self._take(worker, shard, answer)

    def _take(self, worker: Any, shard: int | None, answer: Any) -> None:
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            result = ray.get(answer)
        except RayActorError as error:
            ray.kill(worker)
            self._lose(shard, str(error))
            return
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, QstarError) else error from None
        if isinstance(result, Sampled):
            if result.loaded:
                emit(ShardDone(result.entry.shard, result.entry.seconds, result.acceptance))
            log_shard(result.entry)
        if self._left:
            following = self._left.popleft()
            self._busy[worker.sample.remote(following)] = (worker, following)

    def _lose(self, shard: int | None, told: str) -> None:
        """How often a shard loses its worker is counted by the store; here those that never begin to work."""
        self._unstarted = 0 if shard is not None else self._unstarted + 1
        if self._unstarted > _STARTS:
            raise ServerError(f"workers of Ray do not start ({told[:300]})",
                              "see that every node has the same release of qstar, or set operations.runner=local")
        get_run_logger().warning(f"a worker of Ray was lost{'' if shard is None else f' with shard {shard}'}")
        if shard is not None:
            self._left.append(shard)
        self._start()

    def _start(self) -> None:
        worker = self._worker.remote(*self._arguments)
        self._busy[worker.process.remote()] = (worker, None)

    def _tell(self) -> None:
        for _ in range(self._told.qsize()):
            told: Told = self._told.get()
            if isinstance(told, Waiting):
                tell_of_holder(told.told)
            elif isinstance(told, Halved):
                tell_of_memory(told.slots)
            else:
                tell_kept(self._plan, told)

    def _stop(self) -> None:
        import ray
        from ray.exceptions import RayError

        with suppress(RayError):  # what the workers told last; without its queue the round has ended all the same
            self._tell()
        for worker, _ in self._busy.values():
            ray.kill(worker)
        self._told.shutdown(force=True)


@contextmanager
def _cluster(settings: Settings) -> Iterator[None]:
    """The one of the address, or one on this machine that ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.exceptions import RayError

    operations, threads = settings.operations, settings.engine.threads or 1
    emit(Event("device", f"Ray at {operations.ray_address or 'this machine'}"))
    try:
        if operations.ray_address:
            ray.init(address=operations.ray_address, log_to_driver=False, configure_logging=False)
        else:
            cores = max(os.cpu_count() or 1, (operations.ray_workers or 1) * threads)
            ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False,
                     configure_logging=False, runtime_env={"env_vars": {"QSTAR_HOME": str(home())}})
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ServerError(f"no Ray at {operations.ray_address or 'this machine'} ({str(error)[:300]})",
                          "see that it runs the same Ray and Python, or correct operations.ray_address") from error
    try:
        yield
    except RayError as error:
        told = str(error).strip().splitlines()[-1:] or [""]
        raise EngineError(f"Ray failed ({type(error).__name__}: {told[0][:300]})",
                          "its logs are below /tmp/ray on its machines; the same command goes on where it stopped"
                          ) from error
    finally:
        ray.shutdown()


def _absolute(uri: str) -> str:
    return uri if "://" in uri else str(Path(uri).expanduser().resolve())
