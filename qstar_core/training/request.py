"""What is asked of a training run."""

from __future__ import annotations

from qstar_core.config import Settings
from qstar_core.recipes import Sft, Training
from qstar_core.section import Section


class TrainRequest(Section):
    """`data` is `latest`, a version of `settings.dataset`, the address of one, or a folder. The student, its line, the
    teacher and the recipe are those of the settings."""

    settings: Settings
    data: str = "latest"

    @property
    def recipe(self) -> Training:
        return self.settings.training or Sft()

    @property
    def recipe_name(self) -> str:
        return self.settings.training.recipe if self.settings.training else "sft"
