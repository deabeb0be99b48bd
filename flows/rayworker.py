"""What runs in a worker of Ray: an engine that stays loaded, for one shard after another. References come in and counts
go out; prompts and rows go through the store. Nothing here knows Ray or Prefect.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from qstar_core.config import Settings
from qstar_core.engine.device_lock import hold_device
from qstar_core.engine.headroom import Headroom
from qstar_core.engine.protocol import Finished
from qstar_core.stages.crashes import checkpoints, crashes_counted
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.kept import Kept
from qstar_core.stages.plan import LedgerEntry, Plan, load_plan
from qstar_core.stages.stuck import never_stuck
from qstar_core.stages.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Waiting:
    """The worker waits for its device; `told` says who holds it."""

    told: str


@dataclass(frozen=True, slots=True)
class Halved:
    """Memory ran out; the worker goes on with so many samples in flight."""

    slots: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """`loaded` where something was left to sample."""

    entry: LedgerEntry
    loaded: bool
    acceptance: float | None


Told = Kept | Waiting | Halved


class ShardWorker:
    """`tell` may be called at any time while a shard is sampled. Making one does nothing that could fail, since such a
    failure would look like a lost worker."""

    def __init__(self, settings: Settings, plan_key: str, who: str, tell: Callable[[Told], None]) -> None:
        self._settings, self._plan_key, self._who, self._tell = settings, plan_key, who, tell

    def process(self) -> int:
        """Its number; the answer says that the worker has started."""
        return os.getpid()

    def sample(self, shard: int) -> Sampled:
        workspace, plan = self._planned
        engine: list[Headroom] = []

        def loaded() -> Headroom:
            engine.append(self._engine(plan))
            return engine[0]

        with (crashes_counted(workspace, plan.key, f"shard {shard}", checkpoints(workspace, plan, shard)),
              never_stuck(self._settings.operations.stuck_minutes) as alive):

            def kept(rows: list[Finished]) -> None:
                alive()
                self._tell(Kept.of(shard, rows))

            entry = generate_shard(workspace, plan, shard, loaded, kept)
        return Sampled(entry, bool(engine), engine[0].acceptance if engine else None)

    @cached_property
    def _planned(self) -> tuple[Workspace, Plan]:
        """Read once: a plan is as long as it has shards, and never changes."""
        workspace = Workspace.open(self._settings)
        return workspace, load_plan(workspace.store, self._plan_key)

    def _engine(self, plan: Plan) -> Headroom:
        hold_device(self._settings.engine.device, self._settings.operations.device_lock, self._who,
                    lambda line: self._tell(Waiting(line)))
        engine = engine_for(self._settings, plan.models, plan.context)
        engine.on_halved = lambda slots: self._tell(Halved(slots))
        return engine
