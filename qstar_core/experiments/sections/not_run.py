"""The studies that the spec names and that were not run here, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.facts import NotRun
from qstar_core.experiments.sections.markdown import escape


class NotRunHere:
    def __init__(self, studies: Sequence[NotRun]) -> None:
        self._studies = studies

    def render(self) -> Part:
        return Part("Not run here", "The settings of these are there and valid; nothing on this page is of them.\n\n"
                    + "\n".join(f"- **{escape(one.title or one.name)}** (`{one.name.replace('`', '')}`): "
                                f"{escape(one.reason)}" for one in self._studies) + "\n")
