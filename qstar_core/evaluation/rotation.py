"""Which held-out problems decide in a round, and which never decide.

`is_final` depends on the conversation alone, so a problem of the final set stays in it whatever pool, round or line it
is met in. The others are put into an order of the line's own and taken block by block: the next round takes the next
block, and a problem comes again only when all blocks were used.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from qstar_core.records import Prompt, content_hash


def conversation(prompt: Prompt) -> str:
    """The hash of what a student is asked, whatever gold the row has."""
    return content_hash([message.model_dump(mode="json") for message in prompt.messages])


def is_final(prompt: Prompt, share: float) -> bool:
    return int(content_hash(["final", conversation(prompt)])[:16], 16) < share * 2**64


def final(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """The same problems as long as they are in the pool, whatever else is."""
    return sorted(prompts, key=lambda prompt: content_hash(["final", prompt.id]))[:count]


def rotated(prompts: Sequence[Prompt], line: str, round_name: str, count: int) -> list[Prompt]:
    order = sorted(prompts, key=lambda prompt: content_hash(["rotation", line, prompt.id]))
    start = (_turn(round_name) % blocks(len(order), count)) * count
    return order[start : start + count]


def blocks(pool: int, count: int) -> int:
    """How many rounds have different problems."""
    return max(1, pool // count)


def _turn(round_name: str) -> int:
    """Numbers and dates count up; any other name is a place of its own."""
    if round_name.isdecimal() and round_name.isascii():
        return int(round_name)
    try:
        return date.fromisoformat(round_name).toordinal()
    except ValueError:
        return int(content_hash(["round", round_name])[:16], 16)
