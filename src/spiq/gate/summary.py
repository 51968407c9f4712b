"""What a gate found, in Markdown, for a pull request."""

from spiq.gate.judge import GateResult


def markdown(result: GateResult) -> str:
    """Return a heading, a table of all checks, and what to do."""
    verdict = "passed" if result.passed else "**failed**"
    lines = [
        f"### spiq gate {verdict}: {_plain(result.card)}",
        "",
        f"`{result.network}` beside `{result.reference}`, {result.images} images",
        "",
        "| | baseline | now | better by | may lose | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for check in result.checks:
        mark = "pass" if check.passed else "**worse**"
        lines.append(
            f"| {_plain(check.name)} | {check.baseline:g} | {check.now:g} | {check.gain:+.4g} | "
            f"{check.may_lose:g} | {mark} |"
        )
    if not result.passed:
        lines += ["", "If that is meant, commit a new baseline: `spiq gate ... --update`."]
    lines += [f"\nWarning: {_plain(warning)}" for warning in result.warnings]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Escape what a table or HTML would read."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
