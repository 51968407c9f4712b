"""A plan that is followed: by which options, and what is known of the network it was made for."""

import os

from spiq.analysis import Analysis, analyse
from spiq.config import SECONDS, Config
from spiq.effort import check_effort
from spiq.planning.plan.validate import check_hash
from spiq.planning.plan.values import Plan
from spiq.run import Run


def known_for(plan: Plan, run: Run, config: Config) -> Analysis:
    """Read the network that a plan was made for, and learn what its tensors look like.

    Args:
        plan: The plan.
        run: The call.
        config: The options, of :func:`following` or of another target.

    Raises:
        PlanError: The plan was made for another model.
        ConfigError: What is wanted beyond seconds is not there.
        ModelError: The model cannot be used.
    """
    if config.strong:
        check_effort(run, config)
    run.again = config.strong
    network = run.read()
    check_hash(plan, network)
    analysis = analyse(network, config, run.tell, plan.inputs, run.statistics)
    run.compare(analysis)
    return analysis


def following(
    plan: Plan,
    *,
    device: str = "auto",
    seed: int = 0,
    keep_pictures: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    input_order: str = Config.input_order,
) -> Config:
    """Return the options by which a plan is followed.

    Args:
        plan: The plan.
        device: As in :class:`spiq.Config`; a plan does not say it, nor what follows.
        seed: The same.
        keep_pictures: The same.
        images: The same.
        input_order: The same.

    Raises:
        ConfigError: Its target or method does not take its effort, or it has none to learn by.
    """
    target = plan.target if plan.effort != SECONDS else Config.target
    return Config(
        method=plan.method,
        target=target,
        input_size=plan.input_size,
        effort=plan.effort,
        device=device,
        seed=seed,
        keep_pictures=keep_pictures,
        images=images,
        input_order=input_order,
    )
