"""What a model is for, and whether that is what a command needs."""

from __future__ import annotations

from cnnkit.bundles.opening import Bundle
from cnnkit.errors import UsageError, broken_rule

# In a user's words; of all other tasks one says "a model for" and the task's own name.
NAMES = {"classify": "a classifier", "detect": "a detector"}


def require_task(bundle: Bundle, task: str, option: str = "`model`") -> None:
    """Refuse a model that is for something else.

    Args:
        bundle: An opened model.
        task: What it must be for, as cards name it.
        option: Which option named the model.

    Raises:
        UsageError: It is for another task.
    """
    if bundle.card.task == task:
        return
    rule = f"be {NAMES.get(task, f'a model for {task}')}"
    received = f"{'a model' if task in NAMES else 'one'} for {bundle.card.task}"
    raise UsageError(broken_rule(option, rule, received))
