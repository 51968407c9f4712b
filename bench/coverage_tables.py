"""Write docs/coverage.md from bench/results/coverage.json (see coverage.py).

Usage: python bench/coverage_tables.py
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import common

PAGE = common.ROOT / "docs" / "coverage.md"
NAME = "coverage"
KINDS = {
    "convolutions": "Convolution networks",
    "tokens": "Transformers, ConvNeXts, mixers and hybrids",
    "detector": "Detectors",
}
TOLD = 0.99, 0.95
"""Shares of multiply-accumulates that are the goal, of convolution networks and of the others."""

_NO_SLOWER = 1.03
"""What may be lost to chance where times are compared with float's."""

Entry = dict[str, Any]
Entries = dict[str, Entry]


def page(found: Entries) -> str:
    """All of docs/coverage.md."""
    return "\n\n".join([*_head(found), *_tables(found), *_reasons(found), *_errors(found)]) + "\n"


def _head(found: Entries) -> list[str]:
    rows = [row for entry in found.values() for row in entry["ways"].values()]
    trees = Counter(row["sources"] for row in rows if not row.get("no_file"))
    made = ", ".join(f"{tree} ({count})" for tree, count in trees.most_common())
    cpus = Counter(entry["stamp"]["cpu"] for entry in found.values())
    where = ", and on ".join(f"{cpu} ({count} networks)" for cpu, count in cpus.most_common())
    return [
        "# Coverage",
        "Written by `python bench/tables.py`, measured by `python bench/coverage.py`: builders of "
        "torchvision and small members of timm's families, random weights, BatchNorm statistics "
        "made true on dead leaves, small inputs (`bench/coverage_networks.py` has them, and what "
        "is left out). SNR is of the worst output on 16 pictures that nothing was chosen by, "
        "without its mean over the pictures: it tells ways of quantizing apart, and not how good "
        "a trained network would be: random networks multiply errors. `quantize_static` is "
        "calibrated on 32 such pictures; spiq sees none, and is told the range of the input. "
        "All that can be is on integers, but for what is called *as it ships*, where what is "
        "faster in float on the machine stays there; spiq's time is of that where it was measured.",
        f"On {where}, one thread; measurements by git's name for the content of `src/spiq` that "
        "they were made with (`git rev-parse COMMIT:src/spiq`; what no commit says so was measured "
        f"while the code was written): {made}.",
        _goals(found),
    ]


def _goals(found: Entries) -> str:
    done = {name: entry for name, entry in found.items() if "torch" in entry["ways"]}
    ended = [n for n, e in done.items() if not e["ways"]["torch"].get("traceback")]
    good = {n: e for n, e in done.items() if "share" in e["ways"]["torch"]}
    convolutions, tokens = (
        {n: e for n, e in good.items() if e["kind"] == kind} for kind in ("convolutions", "tokens")
    )
    rows = [
        ["end in a result or one line", "100 %", _part(ended, done)],
        ["quantize", "97 %", _part(good, done)],
        ["convolution networks with 99 % of their work on integers", "all",
         _part([n for n, e in convolutions.items() if _share(e) >= TOLD[0]], convolutions)],
        ["their work on integers, all together", "99 %", _work(convolutions)],
        ["networks of tokens with 95 %", "all",
         _part([n for n, e in tokens.items() if _share(e) >= TOLD[1]], tokens)],
        ["their work on integers, all together", "95 %", _work(tokens)],
        ["... with `quantize_static`'s SNR and 1 dB", "all", _beside(tokens, _better)],
        ["... as fast as `quantize_static`'s", "all", _beside(tokens, _faster)],
        ["... no slower than float as they ship", "all", _beside(tokens, _no_slower)],
        ["convolution networks with `quantize_static`'s SNR", "", _beside(convolutions, _as_good)],
        ["... as fast as `quantize_static`'s", "", _beside(convolutions, _faster)],
        ["... no slower than float as they ship", "all", _beside(convolutions, _no_slower)],
    ]  # fmt: skip
    told = [row for row in rows if row[2]]
    return _table(["of the networks tried by `spiq.torch.quantize`", "goal", "found"], told, 1)


def _share(entry: Entry) -> float:
    return float(entry["ways"]["torch"]["share"])


def _part(some: Iterable[str], of: Iterable[str]) -> str:
    count, total = len(list(some)), len(list(of))
    return f"{count} of {total} ({100 * count / max(total, 1):.1f} %)"


def _work(entries: Entries) -> str:
    ways = [entry["ways"]["torch"] for entry in entries.values()]
    mean = sum(way["share"] for way in ways) / max(len(ways), 1)
    return f"{100 * mean:.2f} % in the mean of networks"


def _beside(entries: Entries, holds: Callable[[Entry], bool | None]) -> str:
    answers = [answer for entry in entries.values() if (answer := holds(entry)) is not None]
    return f"{sum(answers)} of {len(answers)} that could be compared" * bool(answers)


def _ratios(entry: Entry) -> tuple[float, float] | None:
    ours, theirs = (entry["ways"].get(way, {}).get("snr_db") for way in ("torch", "static"))
    return None if ours is None or theirs is None else (ours, theirs)


def _better(entry: Entry) -> bool | None:
    pair = _ratios(entry)
    return None if pair is None else pair[0] >= pair[1] + 1


def _as_good(entry: Entry) -> bool | None:
    pair = _ratios(entry)
    return None if pair is None else pair[0] >= pair[1]


def _faster(entry: Entry) -> bool | None:
    times = _times(entry)
    return None if not {"spiq", "static"} <= {*times} else times["spiq"] <= times["static"]


def _no_slower(entry: Entry) -> bool | None:
    times = _times(entry)
    timed = "shipped" in times and "float" in times
    return times["shipped"] <= _NO_SLOWER * times["float"] if timed else None


def _times(entry: Entry) -> dict[str, float]:
    """Milliseconds; of spiq what ships, where that was measured."""
    times: dict[str, float] = entry.get("latency", {})
    return times | ({"spiq": times["shipped"]} if "shipped" in times else {})


def _tables(found: Entries) -> list[str]:
    parts = []
    for kind, title in KINDS.items():
        body = [
            _line(name, entry)
            for name, entry in sorted(found.items())
            if entry.get("kind") == kind and "share" in entry["ways"].get("torch", {})
        ]
        head = [
            *("network", "input", "GMAC", "layers in int8, float", "on integers"),
            *("SNR, dB", "as it ships", "default file", "README's file", "`quantize_static`"),
            *("ms: float", "spiq", "`quantize_static`", "s", "MB"),
        ]
        parts += [f"## {title}", _table(*_told(head, body), 2)] * bool(body)
    return parts


def _told(head: Sequence[str], body: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out columns of which nothing was measured."""
    kept = [place for place in range(len(head)) if any(row[place] for row in body)]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in body]


def _line(name: str, entry: Entry) -> list[str]:
    ways, times = entry["ways"], _times(entry)
    torch = ways["torch"]
    return [
        name,
        "x".join(map(str, entry["input"])),
        f"{torch['macs'] / 1e9:.2f}",
        f"{torch['integer_layers']}, {torch['float_layers']}",
        f"{100 * torch['share']:.1f} %",
        *(_db(ways.get(way)) for way in ("torch", "shipped", "default", "readme", "static")),
        *(f"{times[row]:.1f}" if row in times else "" for row in ("float", "spiq", "static")),
        f"{torch['seconds']:.0f}",
        f"{torch['peak_mb'] - entry['mb_before']}",
    ]


def _db(way: Entry | None) -> str:
    if way is None or way.get("no_file"):
        return ""
    return "error" if "error" in way else "" if way["snr_db"] is None else f"{way['snr_db']:.1f}"


def _reasons(found: Entries) -> list[str]:
    """Why layers stayed in float, and in how many networks."""
    counts: dict[str, list[str]] = {}
    for name, entry in sorted(found.items()):
        for reason in entry["ways"].get("torch", {}).get("left", {}):
            counts.setdefault(_general(reason), []).append(name)
    body = [
        [reason, str(len({*names})), ", ".join([*dict.fromkeys(names)][:4])]
        for reason, names in sorted(counts.items(), key=lambda item: -len({*item[1]}))
    ]
    head = ["why layers stay in float", "networks", "such as"]
    return ["## What stays in float", _table(head, body, 1)] * bool(body)


def _general(reason: str) -> str:
    """Leave out of a reason what is special to one layer."""
    return (
        "rounding its input would bring too much of the error, or leave too little of the layer"
        if reason.startswith("rounding its input")
        else reason.split(" '")[0]
    )


def _errors(found: Entries) -> list[str]:
    lines = [
        f"- {name}, {way}: {'**traceback** ' * row.get('traceback', False)}{row['error']}"
        for name, entry in sorted(found.items())
        for way, row in entry["ways"].items()
        if "error" in row and not row.get("no_file")
    ]
    unexported = [name for name, entry in sorted(found.items()) if entry.get("export")]
    if unexported:
        lines.append(f"- `torch.onnx.export(dynamo=True)` does not export {', '.join(unexported)}")
    return ["## What ended in an error", "\n".join(lines)] * bool(lines)


def _table(head: Sequence[str], body: Iterable[Sequence[str]], left: int) -> str:
    rule = ["---" if column < left else "--:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def write() -> None:
    """Write the page, if there are results."""
    found = common.load(NAME)
    if not found:
        return
    part = f"{PAGE}.tmp"
    with open(part, "w") as stream:
        stream.write(page(found))
    os.replace(part, PAGE)


if __name__ == "__main__":
    write()
