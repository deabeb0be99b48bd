"""What a planned round is, as it lies in the store: written once, then only read."""

from __future__ import annotations

from qstar_core.records import FileRef, FunnelStep, JsonObject, ModelRef, Prompt, PromptPair, Record
from qstar_core.stages.lines import load_record
from qstar_core.store.objects import ObjectStore


class Ingest(Record):
    """Which rows of the source a round takes. `turn` counts how often the source was read through before; draws are
    numbered from `first_draw`, so that a prompt that comes again gets samples it did not have. `schema_name` and
    `columns` say what the rows were taken for; `validation` are the prompts that were held out."""

    round: str
    source_hash: str
    turn: int
    first_draw: int
    draws: int
    start_row: int
    end_row: int
    exhausted: bool
    schema_name: str = ""
    columns: tuple[str, ...] = ()
    prompts: FileRef
    validation: FileRef | None = None
    rejects: FileRef
    funnel: FunnelStep


class ShardPlan(Record):
    index: int
    first_sample: int
    samples: int
    jobs: FileRef


class PlannedPrompt(Record):
    """One line of a shard's jobs file: a prompt, its rendered pair, and the ids of its draws."""

    prompt: Prompt
    pair: PromptPair
    first_sample: int
    first_draw: int
    sample_ids: tuple[str, ...]


class Plan(Record):
    """`taken_over` samples were finished by earlier plans of the round; in `answers_read` prompts the student reads the
    gold answer as whole words, by chance or by a template that writes it."""

    key: str
    dataset: str
    round: str
    version: str
    sampling_hash: str
    config_hash: str
    settings: JsonObject
    models: dict[str, ModelRef]
    context: int
    samples: int
    shards: tuple[ShardPlan, ...]
    rejects: tuple[FileRef, ...]
    validation: FileRef | None = None
    funnel: tuple[FunnelStep, ...]
    run_id: str
    created: str
    taken_over: int = 0
    answers_read: int = 0

    @property
    def prompts(self) -> int:
        return self.funnel[-1].kept

    def shard_key(self, index: int, sha256: str) -> str:
        """Named by its content, so that two runs which finish the same shard never overwrite each other's file."""
        return f"{self.key}/shards/{index:05d}-{sha256[:12]}.parquet"

    def ledger_key(self, index: int) -> str:
        return f"{self.key}/ledger/{index:05d}.json"

    def parts_key(self, index: int) -> str:
        return f"{self.key}/parts/{index:05d}/"

    @property
    def plan_key(self) -> str:
        return f"{self.key}/plans/{self.version}"

    @property
    def staged_key(self) -> str:
        return f"datasets/{self.dataset}/staged/{self.version}"


class LedgerEntry(Record):
    """A shard is finished when this line, the file and its hash exist."""

    shard: int
    file: FileRef
    tokens: int
    seconds: float


def load_plan(store: ObjectStore, key: str) -> Plan:
    return load_record(store, f"{key}/plan.json", Plan)


def planned_in(store: ObjectStore, round_key: str) -> list[str]:
    """The keys of a round's plans. `begun/plan.json` is none: it counts crashes."""
    keys = (info.key.removesuffix("/plan.json") for info in store.list(f"{round_key}/")
            if info.key.endswith("/plan.json"))
    return [key for key in keys if key.rpartition("/")[0].endswith("/plans")]
