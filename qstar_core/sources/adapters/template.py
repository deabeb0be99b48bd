"""A Jinja template that makes the question out of a row's columns, where no schema fits. The template is the user's,
the values are the dataset's: they are filled in and never read as a template.
"""

from __future__ import annotations

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from qstar_core.config import SourceSettings
from qstar_core.errors import ConfigError, RowError
from qstar_core.records import Prompt
from qstar_core.sources.adapters.base import NOTHING, Adapter, answer, asked, prompt, solution
from qstar_core.sources.columns import Columns


def template_adapter(settings: SourceSettings) -> Adapter:
    template = compiled(settings)

    def adapt(columns: Columns, settings: SourceSettings) -> Prompt:
        return prompt(columns, settings, asked(_filled(template, columns)), kind="question",
                      answer=answer(columns, settings, "answer"), solution=solution(columns, settings, "solution"))

    return Adapter("template", lambda columns: NOTHING, NOTHING, adapt)


def compiled(settings: SourceSettings) -> Template:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    try:
        return environment.from_string(settings.template or "")
    except TemplateError as error:
        raise ConfigError(f"source.template is not a Jinja template: {error}", "mend the template") from None


def variables(settings: SourceSettings) -> frozenset[str]:
    """The columns that the template reads."""
    return frozenset(find_undeclared_variables(SandboxedEnvironment().parse(settings.template or "")))


def _filled(template: Template, columns: Columns) -> str:
    try:
        text = template.render({name: columns.get(name) for name in columns.names}).strip()
    except UndefinedError as error:
        raise RowError(f"source.template: {error}") from None
    except (TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError,
            ValueError) as error:
        raise RowError(f"source.template cannot be filled: {type(error).__name__}") from None
    if not text:
        raise RowError("the prompt is empty")
    return text
