"""Where the records of one loop lie: `loops/<line>/<loop>/loop.json` and `<round>-<step>.json`, each written once."""

from __future__ import annotations

import re
from contextlib import suppress

from qstar_core.config import Settings
from qstar_core.errors import ConfigError, ConflictError
from qstar_core.loop.records import STEPS, Begun, Concluded, Evaluated, Refreshed, Retrained, Round, S
from qstar_core.promotion.history import checked_line
from qstar_core.records import content_hash
from qstar_core.stages.lines import load_record
from qstar_core.store.objects import ObjectStore

# Where a loop runs, how fast, what it may cost and what it lets pass may change on the way; the rest is its identity.
_FREE = {"loop", "gate", "engine", "store", "operations", "metrics", "output", "filtering", "export", "reward", "rlhf"}
_ENDINGS = tuple(f"-{name}.json" for name in STEPS.values())
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


class Book:
    def __init__(self, store: ObjectStore, line: str, loop: str) -> None:
        if not _NAME.fullmatch(loop):
            raise ConfigError(f"loop {loop[:40]!r} cannot be a name",
                              "use up to 32 small letters, digits, '.', '_' and '-'")
        self.store, self.line, self.loop = store, checked_line(line), loop

    @property
    def key(self) -> str:
        return f"loops/{self.line}/{self.loop}"

    @property
    def lease_key(self) -> str:
        """Of the line: one loop works on it at a time."""
        return f"leases/loop/{self.line}.json"

    @property
    def told(self) -> str:
        """What its holder is called; `named` reads it back."""
        return f"loop {self.loop} of line {self.line}"

    @classmethod
    def named(cls, store: ObjectStore, line: str, told: str) -> Book:
        return cls(store, line, told.removeprefix("loop ").removesuffix(f" of line {line}"))

    @property
    def steps(self) -> int:
        """How many steps are done."""
        return sum(info.key.count("/") == self.key.count("/") + 1 and info.key.endswith(_ENDINGS)
                   for info in self.store.list(f"{self.key}/"))

    def round_name(self, number: int) -> str:
        """Of the dataset's round; another line or loop on the same dataset has other ones."""
        return f"{self.line}-{self.loop}-{number}"

    def begun(self) -> Begun | None:
        key = f"{self.key}/loop.json"
        return None if self.store.head(key) is None else load_record(self.store, key, Begun)

    def begin(self, begun: Begun) -> None:
        with suppress(ConflictError):
            self.store.write(f"{self.key}/loop.json", begun.model_dump_json(indent=1).encode(), if_absent=True)

    def step(self, number: int, kind: type[S]) -> S | None:
        key = self._step_key(number, kind)
        return None if self.store.head(key) is None else load_record(self.store, key, kind)

    def keep(self, number: int, step: S) -> S:
        """What stands from now on: the first record of a step."""
        key = self._step_key(number, type(step))
        with suppress(ConflictError):
            self.store.write(key, step.model_dump_json(indent=1).encode(), if_absent=True)
        return load_record(self.store, key, type(step))

    def rounds(self) -> tuple[Round, ...]:
        """Those that are concluded, in order."""
        found: list[Round] = []
        while (concluded := self.step(len(found) + 1, Concluded)) is not None:
            number = len(found) + 1
            found.append(Round(number, self._surely(number, Refreshed), self._surely(number, Retrained),
                               self._surely(number, Evaluated), concluded))
        return tuple(found)

    def turns(self) -> int:
        """How many rounds all loops of the line have judged."""
        return sum(info.key.endswith(f"-{STEPS[Evaluated]}.json") for info in self.store.list(f"loops/{self.line}/"))

    def _surely(self, number: int, kind: type[S]) -> S:
        return load_record(self.store, self._step_key(number, kind), kind)

    def _step_key(self, number: int, kind: type[S]) -> str:
        return f"{self.key}/{number:04d}-{STEPS[kind]}.json"


def identity(settings: Settings) -> str:
    return content_hash(settings.model_dump(mode="json", exclude=_FREE))


def check_same(begun: Begun, settings: Settings) -> None:
    """ConfigError where the loop was begun with other settings: its rounds could not be compared."""
    if begun.identity == identity(settings):
        return
    ours = settings.model_dump(mode="json", exclude=_FREE)
    other = sorted(name for name in ours if ours[name] != begun.settings.get(name))
    raise ConfigError(f"loop {begun.loop} of line {begun.line} was begun with other settings: {', '.join(other)}",
                      "go on with those, or begin another loop with --name")
