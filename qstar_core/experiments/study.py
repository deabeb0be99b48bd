"""What every kind of study has in its settings. A new kind is one class on top of this, one name in `spec.Study`, and
one line in `kinds.KINDS`, which says how it is cut into pieces of work and how a piece is done.
"""

from __future__ import annotations

from pydantic import Field

from qstar_core.section import Name, Section


class StudySettings(Section):
    name: Name = Field(description="Name of the study, which `--only` and the report use")
    title: str = Field("", description="What the study asks, in a line")
    not_run_here: str | None = Field(
        None, min_length=1, description="Why an ordinary machine does not run it; then it is only checked, and run "
                                        "with --force")
