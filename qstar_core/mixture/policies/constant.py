"""The method's α at every token."""

from __future__ import annotations

from qstar_core.mixture.policies.base import Decision, NoOptions, Situation


class Constant:
    name = "constant"
    options = NoOptions

    def __init__(self, options: NoOptions) -> None:
        del options

    def decide(self, at: Situation) -> Decision | None:
        return None
