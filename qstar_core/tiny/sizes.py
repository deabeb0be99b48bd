"""The embedded pairs by size: a model's name is `tiny-<role>` or `tiny-<role>-<size>`.

Every size is trained as its pair, alike but for the widths, so a student of one size and a teacher of another come from
two pairs. All of them speak with the same tokenizer.
"""

from __future__ import annotations

from qstar_core.tiny.recipe import PAIR, STUDENT, TEACHER, PairRecipe, Recipe


def _wide(recipe: Recipe, hidden: int, feed_forward: int) -> Recipe:
    return recipe.model_copy(update={"hidden_size": hidden, "feed_forward": feed_forward})


SIZES: dict[str, PairRecipe] = {
    "small": PairRecipe(student=_wide(STUDENT, 48, 128), teacher=_wide(TEACHER, 64, 192)),
    "": PAIR,
    "large": PairRecipe(student=_wide(STUDENT, 96, 288), teacher=_wide(TEACHER, 128, 384)),
}
NAMES = {f"tiny-{role}{f'-{size}' if size else ''}": (recipe, role)
         for size, recipe in SIZES.items() for role in ("student", "teacher")}
