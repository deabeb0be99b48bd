"""Which prompts are held out for validation: a share of all, chosen by the hash of the conversation alone, so that
every row, draw and round of one question is on the same side, whatever gold its row has.
"""

from __future__ import annotations

from qstar_core.records import Prompt, content_hash

HELD_OUT = "held out for validation"


def is_validation(prompt: Prompt, share: float) -> bool:
    if share == 0.0:
        return False
    conversation = [message.model_dump(mode="json") for message in prompt.messages]
    return int(content_hash(["validation", conversation])[:16], 16) < share * 2**64
