"""q* from Python: `Mixture` names two models and how they are mixed, `generate` draws samples from it.

Settings, defaults and checks are those of the pipeline, and so are the samples: the same settings, prompts and draws
give the same ids and the same tokens as a round. Settings come from the arguments and `config` alone, not from the
environment.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from types import TracebackType
from typing import Any

from qstar_core.config import Section, Settings
from qstar_core.configload import load_settings
from qstar_core.engine.headroom import Headroom
from qstar_core.engine.protocol import Job
from qstar_core.errors import ConfigError, DataError, RowError
from qstar_core.inputs import Input, prompts_of
from qstar_core.models import LATEST, resolve, resolve_models
from qstar_core.prompts import sample_id
from qstar_core.records import FinishReason, MixSummary, ModelRef, Prompt, PromptPair, Sample, Trace, content_hash
from qstar_core.stages.engines import engine_for
from qstar_core.stages.naming import sampling_hash
from qstar_core.stages.planning import check_sampling, renderer_for
from qstar_core.stages.workspace import Workspace

Values = Mapping[str, Any] | Section


class Mixture:
    """Two models and how they are mixed. Without arguments: the two small models that are made on first use.

    `student` and `teacher` are a folder, a hub id, `builtin:NAME`, or the values of that section; `alpha` a method, a
    fixed α, or values. The other arguments are the sections of the settings; `config` is a settings file below them.
    """

    def __init__(self, student: str | Path | Values | None = None, teacher: str | Path | Values | None = None,
                 alpha: str | float | Values | None = None, *, prompts: Values | None = None,
                 sampling: Values | None = None, support: Values | None = None, engine: Values | None = None,
                 config: str | Path | None = None) -> None:
        if config is not None and not isinstance(config, str | Path):
            raise ConfigError(f"config = {config!r} is wrong", "give the path of a settings file")
        given = {"student": _model(student), "teacher": _model(teacher), "alpha": _alpha(alpha), "prompts": prompts,
                 "sampling": sampling, "support": support, "engine": engine}
        sections = {name: _plain(name, values) for name, values in given.items() if values is not None}
        self.settings = load_settings(Path(config) if config is not None else None, flags=sections)
        check_sampling(self.settings)
        self.models = _located(self.settings)
        self._renderer, self.tokenizer, self.context = renderer_for(self.settings, self.models)
        self._hash = sampling_hash(self.settings, self.models)
        self.engine: Headroom = engine_for(self.settings, self.models, self.context)

    def render(self, prompt: Prompt) -> PromptPair:
        """What the student reads and what the teacher reads."""
        return self._renderer.render(prompt)

    def pair(self, student_text: str, teacher_text: str) -> PromptPair:
        """Two prompts that are rendered already, control tokens and opening of the assistant's turn included."""
        for role, text in (("student", student_text), ("teacher", teacher_text)):
            if not isinstance(text, str) or any("\ud800" <= character <= "\udfff" for character in text):
                raise DataError(f"the {role}'s prompt is no text, or holds half of a surrogate pair", "give a str")
        return PromptPair(prompt_id=content_hash([student_text, teacher_text])[:16], student_messages=(),
                          student_text=student_text, teacher_text=teacher_text,
                          student_ids=self.tokenizer.encode(student_text),
                          teacher_ids=self.tokenizer.encode(teacher_text))

    def job(self, pair: PromptPair, draw: int) -> Job:
        return Job(sample_id(self._hash, pair, draw), pair, draw)

    @cached_property
    def vocabulary(self) -> int:
        """The number of ids that mean something."""
        return max(self.tokenizer.vocabulary.values()) + 1


@dataclass(frozen=True, slots=True)
class Drawn:
    """One finished sample. `index` is the place of its prompt among those handed in; `prompt` is None where a rendered
    pair was. `trace` is there where it was asked for and the sample did not fail."""

    index: int
    prompt: Prompt | None
    pair: PromptPair
    sample: Sample
    trace: Trace | None

    @property
    def completion(self) -> str:
        return self.sample.completion

    @property
    def summary(self) -> MixSummary | None:
        """Means over the tokens; None where the sample failed or `engine.diagnostics` is off."""
        return self.sample.summary

    @property
    def draw(self) -> int:
        return self.sample.draw

    @property
    def token_ids(self) -> tuple[int, ...]:
        return self.sample.token_ids

    @property
    def finish_reason(self) -> FinishReason:
        return self.sample.finish_reason

    @property
    def error(self) -> str | None:
        return self.sample.error


@dataclass(frozen=True, slots=True)
class Progress:
    """`slots`: samples in flight at most; it falls where memory ran out."""

    finished: int
    total: int
    tokens: int
    tokens_per_second: float
    slots: int


class Samples(Iterator[Drawn]):
    """Finished samples as they come, in no fixed order; `total` will come. Closing it, or an interrupt, ends the run;
    the mixture can be used again at once."""

    def __init__(self, running: Generator[Drawn], total: int) -> None:
        self._running = running
        self.total = total

    def __next__(self) -> Drawn:
        return next(self._running)

    def close(self) -> None:
        self._running.close()

    def __enter__(self) -> Samples:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def generate(mixture: Mixture, prompts: Input | Iterable[Input], draws: int | None = None, *, first_draw: int = 0,
             traces: bool = False, progress: Callable[[Progress], None] | None = None) -> Samples:
    """`draws` samples of every prompt (else `sampling.draws`), numbered from `first_draw`. Everything that can be wrong
    with settings and prompts is said here, before a token is drawn; a sample that fails is yielded with its `error`.

    A prompt that is handed in twice gets draws that it does not have yet.
    """
    if not isinstance(mixture, Mixture):
        raise ConfigError(f"mixture = {mixture!r} is wrong", "give a Mixture")
    if progress is not None and not callable(progress):
        raise ConfigError(f"progress = {progress!r} is wrong", "give a function of one Progress")
    count = _whole("draws", mixture.settings.sampling.draws if draws is None else draws, least=1)
    begin = _whole("first_draw", first_draw, least=0)
    if traces and not mixture.settings.engine.diagnostics:
        raise ConfigError("traces were asked for, but engine.diagnostics is false", "leave engine.diagnostics on")
    asked: list[tuple[int, Prompt | None, Job]] = []
    seen: Counter[str] = Counter()
    for index, prompt in enumerate(prompts_of(prompts)):
        pair = _rendered(mixture, index, prompt)
        first = begin + count * seen[pair.prompt_id]
        seen[pair.prompt_id] += 1
        asked += [(index, prompt if isinstance(prompt, Prompt) else None, mixture.job(pair, first + offset))
                  for offset in range(count)]
    mixture.engine.prepare()
    return Samples(_run(mixture.engine, asked, traces, progress), len(asked))


def _run(engine: Headroom, asked: list[tuple[int, Prompt | None, Job]], traces: bool,
         progress: Callable[[Progress], None] | None) -> Generator[Drawn]:
    origin = {job.sample_id: (index, prompt, job.pair) for index, prompt, job in asked}
    tokens, since = 0, time.monotonic()
    with closing(engine.generate(job for _, _, job in asked)) as running:
        for number, finished in enumerate(running, start=1):
            sample = finished.sample
            if progress is not None:
                tokens += len(sample.token_ids)
                rate = tokens / max(time.monotonic() - since, 1e-9)
                progress(Progress(number, len(asked), tokens, rate, engine.slots))
            yield Drawn(*origin[sample.id], sample, finished.trace if traces else None)


def _rendered(mixture: Mixture, index: int, prompt: Prompt | PromptPair) -> PromptPair:
    if isinstance(prompt, Prompt):
        try:
            return mixture.render(prompt)
        except RowError as fault:
            raise DataError(f"prompt {index} cannot be used: {fault}", "change it or leave it out") from None
    for role, ids in (("student", prompt.student_ids), ("teacher", prompt.teacher_ids)):
        if not ids or not all(0 <= token < mixture.vocabulary for token in ids):
            raise DataError(f"prompt {index} cannot be used: the {role}'s ids are empty or beyond its vocabulary",
                            "make the pair with Mixture.pair or Mixture.render")
    return prompt


def _whole(name: str, value: object, least: int) -> int:
    """Counts from numpy are as good as any."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} = {value!r} is wrong", f"give a whole number of at least {least}")
    return int(value)


def _located(settings: Settings) -> dict[str, ModelRef]:
    """A store is opened only where the student is to be looked up in it."""
    if settings.student.model == LATEST:
        return resolve_models(settings, Workspace.open(settings).store)
    student, teacher = settings.student, settings.teacher
    return {"student": resolve(student.model, student.revision, base=student.base),
            "teacher": resolve(teacher.model, teacher.revision)}


def _model(given: str | Path | Values | None) -> Values | None:
    """An empty text is no folder, though Path makes one of it."""
    if isinstance(given, str) and not given.strip():
        raise ConfigError("a model's name is empty", "give a folder, a hub id or builtin:NAME")
    return {"model": str(given)} if isinstance(given, str | Path) else given


def _alpha(given: str | float | Values | None) -> Values | None:
    if isinstance(given, str):
        return {"method": given}
    if isinstance(given, bool):
        raise ConfigError(f"alpha = {given} is wrong", "give a method, a number from 0 to 1, or a mapping")
    if isinstance(given, float | Real):
        return {"method": "fixed", "fixed": float(given)}
    return given


def _plain(name: str, values: object) -> dict[str, Any]:
    if isinstance(values, Section):
        return values.model_dump()
    if isinstance(values, Mapping):
        return dict(values)
    raise ConfigError(f"{name} = {values!r} is wrong", "give a mapping of that section's settings")
