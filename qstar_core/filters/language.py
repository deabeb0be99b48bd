"""Names the language of a completion's prose; formulas and code are left out first. Logs unless told to drop."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from pydantic import Field

from qstar_core.config import Action
from qstar_core.filters.base import Candidate, Filter, Options

_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|\$\$?[^$]{0,2000}\$\$?|\\\[.*?\\\]|\\\(.*?\\\)|\\[a-zA-Z]+|`[^`\n]*`|https?://\S+",
                       re.DOTALL)
_LONGEST = 4000


class LanguageOptions(Options):
    languages: tuple[str, ...] = Field(("en",), min_length=1, description="ISO 639-1 codes that pass")
    min_letters: int = Field(40, ge=1, description="Prose with fewer letters passes unseen")


class LanguageFilter(Filter[LanguageOptions]):
    name = "language"
    options = LanguageOptions
    action = Action.LOG
    packages = ("lingua",)
    spreads = True

    def judge(self, candidate: Candidate) -> str | None:
        text = candidate.sample.completion[:_LONGEST].encode("utf-8", "replace").decode()
        prose = _NO_PROSE.sub(" ", text)
        if sum(map(str.isalpha, prose)) < self._options.min_letters:
            return None
        found = self._detector.detect_language_of(prose)
        code = found.iso_code_639_1.name.lower() if found else "no language"
        return None if code in self._options.languages else f"language {code}"

    @cached_property
    def _detector(self) -> Any:
        from lingua import LanguageDetectorBuilder

        return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
