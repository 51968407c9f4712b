"""What is bad about a quantized network, why, and what mends it: plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One way to mend something.

    Attributes:
        text: What it does, a sentence.
        code: What to type: a command, or lines of Python that change ``plan``.
        edits_plan: Whether it is lines of Python, for a plan as ``json.loads`` gives it.
        needs: What the reader has to put in place of a name in capitals; empty where nothing.
    """

    text: str
    code: str
    edits_plan: bool = False
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that costs accuracy, and its cause.

    Attributes:
        kind: One of the kinds of :mod:`spiq.report.diagnosis`.
        title: The cause in a few words.
        cause: The same in a sentence or two, with numbers.
        where: Names of the layers, or of the input.
        gain_db: By how much the signal-to-noise ratio would rise at most if it cost nothing; None
            where that is not known.
        remedies: What to do, the likeliest first.
    """

    kind: str
    title: str
    cause: str
    where: tuple[str, ...]
    gain_db: float | None
    remedies: tuple[Remedy, ...]
