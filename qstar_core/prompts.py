"""A prompt → the student's prompt and the teacher's prompt, rendered to the token ids that enter the engine.

The student's template sees the question and nothing that holds the answer; the teacher's sees everything. What the
question itself says is the student's too, also where the answer occurs in it (`prompts.answer_in_question: drop` leaves
such prompts out). A reply prefix opens the assistant's turn on both sides. A row that cannot be rendered raises
RowError with the reason that the funnel will count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from qstar_core.config import PromptSettings
from qstar_core.errors import ConfigError, RowError
from qstar_core.hints import draw, draw_hint, hint_template
from qstar_core.records import Message, Prompt, PromptPair, Role, content_hash

_STUDENT_SEES = ("question", "kind")
TEACHER_ONLY = ("answer", "solution", "meta")
_NO_WORDS = "cannot encode the prompt"
_WORDS_OF_PROBLEMS = "builtin:tiny-"


def encoding_fix(reasons: Iterable[str], models: Iterable[str]) -> str | None:
    """What to do where prompts were refused because a built-in model lacks their words; None where it is not that."""
    if any(_NO_WORDS in reason for reason in reasons) and any(name.startswith(_WORDS_OF_PROBLEMS) for name in models):
        return ("the built-in models know only the words of the built-in problems: name models of your own with "
                "--student.model and --teacher.model")
    return None


class ChatTemplate(Protocol):
    @property
    def control_tokens(self) -> frozenset[str]: ...

    @property
    def unknown_id(self) -> int | None: ...

    @property
    def system_role(self) -> bool:
        """Whether system messages are rendered; if not, they go in front of the first user message."""
        ...

    def render(self, messages: tuple[Message, ...], reply: str = "") -> tuple[str, tuple[int, ...]]:
        """The text up to the beginning of a reply, and its ids. RowError where the template refuses the turns."""
        ...


class PromptRenderer:
    def __init__(self, settings: PromptSettings, student: ChatTemplate, teacher: ChatTemplate, context: int) -> None:
        self._settings = settings
        self._student, self._teacher = student, teacher
        self._context = context
        self._student_template = _compiled("prompts.student", settings.student)
        self._teacher_template = _compiled("prompts.teacher", settings.teacher)
        self._student_reads_kind = "kind" in _variables(settings.student)
        self._hints = [(_compiled(f"prompts.hints.{i}", hint_template(hint)), _variables(hint_template(hint)))
                       for i, hint in enumerate(settings.hints)]

    def render(self, prompt: Prompt) -> PromptPair:
        """The pair, or RowError."""
        _refuse_half_pairs(prompt)
        self._refuse_control_tokens(prompt)
        self._refuse_given_answers(prompt)
        seen = {"question": prompt.question, "kind": prompt.kind}
        everything = {**seen, "answer": prompt.answer, "solution": prompt.solution, "meta": prompt.meta}
        student = self._messages(prompt, self._settings.student_system,
                                 _fill("prompts.student", self._student_template, seen))
        teacher = self._messages(prompt, self._settings.teacher_system, self._told(prompt, everything))
        prefixes = self._settings.reply_prefixes
        prefix = prefixes[draw("reply prefix", prompt.id, len(prefixes))] if prefixes else ""
        student, teacher = _fitting(student, self._student), _fitting(teacher, self._teacher)
        student_text, student_ids = self._student.render(student, prefix)
        teacher_text, teacher_ids = self._teacher.render(teacher, prefix)
        for role, ids, template in (("student", student_ids, self._student), ("teacher", teacher_ids, self._teacher)):
            if len(ids) >= self._context:
                raise RowError(f"the {role}'s prompt is longer than the context of {self._context} tokens")
            if template.unknown_id is not None and template.unknown_id in ids:
                raise RowError(f"the {role}'s tokenizer {_NO_WORDS}")
        return PromptPair(prompt_id=prompt.id, student_messages=student, student_text=student_text,
                          teacher_text=teacher_text, student_ids=student_ids, teacher_ids=teacher_ids,
                          reply_prefix=prefix)

    def _told(self, prompt: Prompt, everything: dict[str, Any]) -> str:
        """The teacher's message: the hint drawn for this prompt, or the plain template where there is none for it."""
        place = draw_hint([(self._settings.hints[i], reads) for i, (_, reads) in enumerate(self._hints)], prompt)
        if place is None:
            return _fill("prompts.teacher", self._teacher_template, everything)
        return _fill(f"prompts.hints.{place}", self._hints[place][0], everything)

    def _refuse_control_tokens(self, prompt: Prompt) -> None:
        """Text that spells a control token would be read as one: a dataset could then speak for the assistant."""
        texts = [*(message.content for message in prompt.messages), prompt.answer or "", prompt.solution or "",
                 prompt.kind, *_texts(prompt.meta)]
        for token in sorted(self._student.control_tokens | self._teacher.control_tokens):
            if token and any(token in text for text in texts):
                raise RowError(f"the text contains the control token {token}")

    def _refuse_given_answers(self, prompt: Prompt) -> None:
        if prompt.answer is None or prompt.kind == "code":
            return
        if self._student_reads_kind and holds(prompt.kind, prompt.answer):
            raise RowError("the kind holds the answer")
        if self._settings.answer_in_question == "drop" and any(holds(turn.content, prompt.answer)
                                                               for turn in prompt.messages):
            raise RowError("the question contains the answer")

    @staticmethod
    def _messages(prompt: Prompt, system: str | None, question: str) -> tuple[Message, ...]:
        """The conversation with its last user message replaced, and the system prompt where one is set."""
        turns = list(prompt.messages)
        last = max(i for i, turn in enumerate(turns) if turn.role is Role.USER)
        turns[last] = Message(role=Role.USER, content=question)
        if system is not None:
            turns = [Message(role=Role.SYSTEM, content=system), *(t for t in turns if t.role is not Role.SYSTEM)]
        return tuple(turns)


def check_templates(settings: PromptSettings) -> None:
    """ConfigError where a template is broken or asks for what its role does not have."""
    hints = {f"prompts.hints.{i}": hint_template(hint) for i, hint in enumerate(settings.hints)}
    for setting, source in {"prompts.student": settings.student, "prompts.teacher": settings.teacher, **hints}.items():
        known = _STUDENT_SEES if setting == "prompts.student" else (*_STUDENT_SEES, *TEACHER_ONLY)
        _compiled(setting, source)
        asked = sorted(_variables(source) - set(known))
        if asked:
            held_back = known is _STUDENT_SEES and asked[0] in TEACHER_ONLY
            raise ConfigError(f"{setting}: '{asked[0]}' is undefined",
                              "the student must not see it" if held_back else f"use {', '.join(known)}")


def holds(text: str, answer: str) -> bool:
    """Whether the answer occurs in the text as whole words; case and blanks aside."""
    wanted, found = " ".join(answer.casefold().split()), " ".join(text.casefold().split())
    return bool(wanted) and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", found) is not None


def sample_id(sampling_hash: str, pair: PromptPair, draw: int) -> str:
    """Names finished work: the same models, settings, rendered prompts and draw give the same id."""
    return content_hash([sampling_hash, pair.prompt_id, pair.student_text, pair.teacher_text, draw])[:16]


def _fitting(messages: tuple[Message, ...], template: ChatTemplate) -> tuple[Message, ...]:
    """System messages in front of the first user message, where the chat template has no place for them."""
    system = [turn.content for turn in messages if turn.role is Role.SYSTEM]
    if not system or template.system_role:
        return messages
    turns = [turn for turn in messages if turn.role is not Role.SYSTEM]
    first = next(i for i, turn in enumerate(turns) if turn.role is Role.USER)
    turns[first] = Message(role=Role.USER, content="\n\n".join((*system, turns[first].content)))
    return tuple(turns)


def _refuse_half_pairs(prompt: Prompt) -> None:
    """No tokenizer can encode half of a surrogate pair, and no file can hold it."""
    try:
        for text in (*(turn.content for turn in prompt.messages), prompt.answer or "", prompt.solution or "",
                     prompt.kind, *_texts(prompt.meta)):
            text.encode()
    except UnicodeEncodeError:
        raise RowError("the text holds half of a surrogate pair") from None


def _variables(source: str) -> frozenset[str]:
    return frozenset(find_undeclared_variables(SandboxedEnvironment().parse(source)))


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (*_texts(key), *_texts(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _compiled(setting: str, source: str) -> Template:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise ConfigError(f"{setting} is not a Jinja template: {error}", "mend the template") from None


def _fill(setting: str, template: Template, values: dict[str, Any]) -> str:
    try:
        text = template.render(values)
    except UndefinedError as error:
        held_back = setting == "prompts.student" and any(f"'{name}'" in str(error) for name in TEACHER_ONLY)
        fix = "the student must not see it" if held_back else "use question, answer, solution, kind or meta"
        raise ConfigError(f"{setting}: {error}", fix) from None
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"{setting} cannot be rendered: {error}", "mend the template") from None
    if not text.strip():
        raise RowError("the prompt is empty")
    return text
