"""What every kind of study has in its settings. A new kind is one class on top of this, one name in `spec.Study`, and
one line in `kinds.KINDS`, which says how it is cut into pieces of work and how a piece is done.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from qstar_core.report.text import visible
from qstar_core.section import Name, Section


def shown_as_it_is(text: str) -> str:
    """A file that anyone may have written says nothing to a terminal that a reader does not see."""
    if visible(text) != text.replace("\r\n", "\n"):
        raise ValueError("it holds a control character; write only what can be seen")
    return text


Title = Annotated[str, AfterValidator(shown_as_it_is)]


class StudySettings(Section):
    name: Name = Field(description="Name of the study, which `--only` and the report use")
    title: Title = Field("", description="What the study asks, in a line")
    not_run_here: Annotated[Title, Field(min_length=1)] | None = Field(
        None, description="Why an ordinary machine does not run it; then it is only checked, and run "
                                        "with --force")
