"""What a teacher is told beyond the question: ready styles and templates of the user's own, one drawn for each prompt.

A draw depends on the prompt's id alone, so every draw, shard and rerun of a prompt has the same hint. Only hints that
the prompt can fill are drawn from: none that reads `answer` where there is no gold answer, none that reads `solution`
where there is no worked solution, and none that reads `answer` for code, whose gold is a program of tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.records import Prompt, content_hash

_OWN_WORDS = "Reason step by step in your own words, and do not mention that you were given it."
STYLES = {
    "none": "{{ question }}",
    "answer": "{{ question }}\n\nThe correct answer is {{ answer }}. " + _OWN_WORDS,
    "check": "{{ question }}\n\nWhen you have finished, your result should be {{ answer }}. " + _OWN_WORDS,
    "solution": "{{ question }}\n\nA worked solution:\n{{ solution }}\n\nWrite a solution of your own. " + _OWN_WORDS,
    "reply": "{{ question }}\n\nA good reply to this would be:\n{{ solution }}\n\nGive a reply of your own, at least "
             "as good, and do not mention the one you were given.",
}


def hint_template(hint: str) -> str:
    """The template of a ready style; what is not the name of one is a template itself."""
    return STYLES.get(hint, hint)


def draw_hint(hints: Sequence[tuple[str, frozenset[str]]], prompt: Prompt) -> int | None:
    """The place of the hint for this prompt in a list of (hint, variables it reads); None where none can be filled."""
    missing = {name for name, value in (("answer", prompt.answer), ("solution", prompt.solution)) if not value}
    if prompt.kind == "code":
        missing.add("answer")
    possible = [place for place, (_, reads) in enumerate(hints) if not reads & missing]
    return possible[draw("hint", prompt.id, len(possible))] if possible else None


def draw(purpose: str, prompt_id: str, count: int) -> int:
    """A number below `count`, by the prompt's id."""
    return int(content_hash([purpose, prompt_id])[:16], 16) % count
