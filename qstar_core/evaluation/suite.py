"""What a checkpoint is asked: sets of held-out problems, and everything else that decides the numbers.

Two scores can be compared only where their suites have one hash. `rotating` is the suite of one round, the only kind
that decides; `final` is always the same and only reports. No problem of either was ever taken by a round of any dataset
in the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from qstar_core.config import EvaluationSet, SetRole, Settings, SourceSettings
from qstar_core.errors import ConfigError, DataError
from qstar_core.evaluation.rotation import conversation, final, is_final, rotated
from qstar_core.records import JsonObject, Prompt, Record, content_hash
from qstar_core.sources.reading import read_source
from qstar_core.sources.splitting import is_validation
from qstar_core.stages.lines import load_lines, load_record
from qstar_core.stages.plan import Ingest
from qstar_core.stages.workspace import check_round_name
from qstar_core.store.objects import ObjectStore

_FORM = 1  # goes up when the same settings would give other numbers
_OTHER_SEED = 1_000_003
_ROUNDS = 64  # blocks of problems that are read at most; a long source is not read to its end


class ProblemSet(Record):
    """`pool` counts the problems to choose from, `trained` those left out because a round took them."""

    name: str
    role: SetRole
    prompts: tuple[Prompt, ...]
    pool: int
    trained: int


class Suite(Record):
    round: str | None
    sets: tuple[ProblemSet, ...]
    protocol: JsonObject

    @property
    def final(self) -> bool:
        return self.round is None

    @cached_property
    def hash(self) -> str:
        asked = [[one.name, one.role.value, [[p.id, content_hash(p.solution)] for p in one.prompts]]
                 for one in self.sets]
        return content_hash([_FORM, self.final, asked, self.protocol])

    def set_of(self, role: SetRole) -> ProblemSet:
        return next(one for one in self.sets if one.role is role)


def rotating_suite(settings: Settings, store: ObjectStore, line: str, round_name: str) -> Suite:
    check_round_name(round_name)
    return _suite(settings, store, line, round_name)


def final_suite(settings: Settings, store: ObjectStore) -> Suite:
    return _suite(settings, store, "", None)


def _suite(settings: Settings, store: ObjectStore, line: str, round_name: str | None) -> Suite:
    taken = taken_by_rounds(store)
    sets = []
    for wanted in settings.evaluation.sets:
        pool, trained = _pool(settings, wanted, taken)
        held = [prompt for prompt in pool
                if is_final(prompt, settings.evaluation.final_share) is (round_name is None)]
        if not held:
            raise DataError(f"the set {wanted.name} has no held-out problem ({trained} were taken by rounds)",
                            "check its kinds and where, or give it a source of its own")
        chosen = (final(held, wanted.prompts) if round_name is None
                  else rotated(held, line, round_name, wanted.prompts))
        sets.append(ProblemSet(name=wanted.name, role=wanted.role, prompts=tuple(chosen), pool=len(held),
                               trained=trained))
    return Suite(round=round_name, sets=tuple(sets), protocol=_protocol(settings))


def taken_by_rounds(store: ObjectStore) -> frozenset[str]:
    """The conversations of every prompt that a round of any dataset took; replayed rows are among them."""
    found: set[str] = set()
    for info in store.list("datasets/"):
        if info.key.endswith("/ingest.json") and info.key.count("/") == 5:
            ingest = load_record(store, info.key, Ingest)
            found.update(conversation(prompt) for prompt in load_lines(store, ingest.prompts, Prompt))
    return frozenset(found)


def _pool(settings: Settings, wanted: EvaluationSet, taken: frozenset[str]) -> tuple[list[Prompt], int]:
    """What may be asked, one problem a conversation, and how many were left out because a round took them."""
    trained = 0
    pool: dict[str, Prompt] = {}
    limit = wanted.prompts * _ROUNDS
    for prompt in _candidates(settings, wanted):
        if not _fits(prompt, wanted):
            continue
        key = conversation(prompt)
        if key in taken:
            trained += 1
        else:
            pool.setdefault(key, prompt)
            if len(pool) == limit:
                break
    return list(pool.values()), trained


def _candidates(settings: Settings, wanted: EvaluationSet) -> Iterator[Prompt]:
    own, source = settings.source, wanted.source
    share = 1.0
    if source is None:
        if own.validation > 0:
            source, share = own, own.validation
        elif own.path.startswith("builtin:"):
            source = SourceSettings(path=own.path, seed=own.seed + _OTHER_SEED)
        else:
            raise ConfigError(f"nothing is held out for the set {wanted.name}",
                              "set source.validation, or give the set a source in evaluation.sets")
    reads = (read.prompt for read in read_source(source) if read.prompt is not None)
    yield from (prompt for prompt in reads if share == 1.0 or is_validation(prompt, share))


def _fits(prompt: Prompt, wanted: EvaluationSet) -> bool:
    return ((not wanted.kinds or prompt.kind in wanted.kinds)
            and all(prompt.meta.get(name) in values for name, values in wanted.where.items()))


def _protocol(settings: Settings) -> JsonObject:
    """How the problems are put and judged, beside the problems themselves."""
    evaluation = settings.evaluation.model_dump(mode="json", exclude={"sets", "judge", "harness_timeout"})
    prompts = settings.prompts.model_dump(mode="json", include={"student", "student_system", "reply_prefixes",
                                                                "answer_in_question"})
    return {"evaluation": evaluation, "prompts": prompts, "stop": sorted(settings.sampling.stop),
            "hedging_words": sorted(settings.gate.hedging_words), "leak_phrases": sorted(settings.gate.leak_phrases)}


def problems(suite: Suite, count: int) -> tuple[Prompt, ...]:
    """The first of the target set."""
    return tuple(islice(suite.set_of(SetRole.TARGET).prompts, count))
