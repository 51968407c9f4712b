"""Commented cards to start from, one for each task."""

from importlib.resources import files

from spiq.evaluation.cards.read import TASKS
from spiq.value_checks import one_of


def template(task: str) -> str:
    """The card of ``task`` as TOML text.

    Raises:
        ConfigError: There is no such task.
    """
    one_of("task", task, TASKS)
    return (files(__name__) / f"{task}.toml").read_text(encoding="utf-8")
