"""Write docs/results.md and the README's table from the results in bench/results.

Usage: python bench/tables.py [--print]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import common
import coverage_tables
import peers
import speed
from spiq.sweep.summary import METRIC_DIGITS, SNR_DIGITS, best

RESULTS_PAGE = common.ROOT / "docs" / "results.md"
README = common.ROOT / "README.md"

TITLES = {
    "float": "float",
    "spiq": "spiq (no data)",
    "spiq_static": "spiq `--method static` (no data)",
    "spiq_dynamic": "spiq `--method dynamic`",
    "ort_static": f"`quantize_static` ({peers.IMAGES} images)",
    "nncf": f"NNCF ({peers.IMAGES} images)",
    "ort_dynamic": "`quantize_dynamic`",
    "ort_dynamic_folded": "`quantize_dynamic`, BatchNorm folded",
}
FOLDED = {
    "float": "float",
    "kept": "spiq, BatchNorm kept",
    "folded": "spiq, folded",
    "folded_images": "spiq, folded, 10 images",
}
METRICS = {"top1": "top-1 %", "mAP50": "mAP50 %", "miou": "mIoU %"}
NOTHING = "-"

Rows = dict[str, dict[str, Any]]


def table(head: Sequence[str], body: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; columns behind the first `left` are aligned to the right."""
    rule = ["---" if column < left else "--:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def by_task(accuracy: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Networks in the order of tasks, then names."""
    return sorted(accuracy.items(), key=lambda item: (item[1]["task"], item[0]))


def readme_table(results: dict[str, dict[str, Any]]) -> str:
    """One line per network: accuracy and speed, on CPUs with VNNI and without."""
    shown = ("spiq", "ort_static", "nncf", "ort_dynamic")
    kinds = ("", common.WITHOUT_VNNI)

    def both(name: str, kind: str, cell: Callable[[Rows], str]) -> str:
        found = [results[kind + where].get(name, {}).get("rows", {}) for where in kinds]
        return " / ".join(map(cell, found))

    def cells(name: str, entry: dict[str, Any]) -> list[str]:
        values = (
            both(name, "accuracy", lambda rows, row=row: _cell(rows.get(row), "{value:.1f}"))
            for row in shown
        )
        in_float = _cell(entry["rows"]["float"], "{value:.1f}")
        times = both(name, "latency", lambda rows: _times(rows, "spiq"))
        return [name, METRICS[entry["metric"]], in_float, *values, times]

    titles = [TITLES["float"], *(TITLES[row] for row in shown), "spiq, times as fast as float"]
    entries = by_task(results["accuracy"])
    return table(["network", "metric", *titles], [cells(*item) for item in entries], left=2)


def _cell(found: dict[str, Any] | None, form: str) -> str:
    if found is None or found.get("error") == "not installed":
        return NOTHING
    return "does not load" if "error" in found else form.format(**found)


def _ratio(found: dict[str, Any] | None, output: str) -> str:
    """The signal-to-noise ratio of one output."""
    if found is None or "error" in found:
        return _cell(found, "")
    ratio = found["snr_db"][output]
    return NOTHING if ratio is None else f"{ratio:.1f}"


def _times(rows: Rows, row: str, *, digits: int = 1) -> str:
    """How many times as fast as float: the ratio of the medians of one run."""
    slow, fast = rows.get("float"), rows.get(row)
    if slow is None or fast is None or "error" in fast:
        return NOTHING
    value = f"{slow['median_ms'] / fast['median_ms']:.{digits}f} x"
    span = fast.get("times_as_fast")
    if span is None or digits == 1:
        return value
    return f"{value} ({span['low']:.{digits}f} to {span['high']:.{digits}f})"


def accuracy_section(accuracy: dict[str, Any]) -> str:
    """Metrics with their intervals, differences, signal-to-noise ratios, refusals."""
    values, differences, ratios, refused = [], [], [], []
    for name, entry in by_task(accuracy):
        rows, first = entry["rows"], [name, METRICS[entry["metric"]], str(entry["images"])]
        values.append([*first, *(_cell(rows.get(row), "{value:.2f}") for row in TITLES)])
        form = "{difference[value]:+.2f} ({difference[low]:+.2f} to {difference[high]:+.2f})"
        others = [row for row in TITLES if row != "float"]
        differences.append([name, *(_cell(rows.get(row), form) for row in others)])
        for output in rows["spiq"].get("snr_db", {}):
            ratios.append([name, output, *(_ratio(rows.get(row), output) for row in others)])
        refused += [
            f"- {name}, {TITLES[row]}: {found['error']}"
            for row, found in rows.items()
            if "error" in found
        ]
    names = [TITLES[row] for row in TITLES if row != "float"]
    parts = [
        "Batch 1, the labelled images of the task cards. `quantize_static` and NNCF calibrate on "
        f"the first {peers.IMAGES} of them; spiq sees none.",
        table(["network", "metric", "images", *TITLES.values()], values, left=2),
        "Difference to float in points, with the 95 % interval over paired images:",
        table(["network", *names], differences),
        "Signal-to-noise ratio of the outputs against float, in dB:",
        table(["network", "output", *names], ratios, left=2),
    ]
    return "\n\n".join(parts + (["Refused:", "\n".join(refused)] if refused else []))


def latency_section(latency: dict[str, Any]) -> str:
    """Milliseconds, and how many times as fast as float that is."""
    shown = ("float", "spiq", "ort_static", "spiq_dynamic", "ort_dynamic", "ort_dynamic_folded")
    others, body, times = shown[1:], [], []
    random = sorted(latency.keys() - common.load("accuracy").keys())
    for name, entry in latency.items():
        rows: Rows = entry["rows"]
        body.append([name, *(_cell(rows.get(row), "{median_ms:.2f}") for row in shown)])
        times.append([name, *(_times(rows, row, digits=2) for row in others)])
    return "\n\n".join(
        [
            "One image, one thread; median milliseconds, all models of a network timed in one "
            f"interleaved run. {', '.join(random)} have random weights.",
            table(["network", *(TITLES[row] for row in shown)], body),
            "Times as fast as float: float's median time over the model's, above 1 is faster; in "
            "parentheses, where it was measured, the 95 % interval over the rounds:",
            table(["network", *(TITLES[row] for row in others)], times),
            "The same as ratios of time, below 1 is faster in the first two columns; *static* is "
            "`quantize_static`, *dynamic* the fastest dynamic form that we know, the peak what "
            "the int8 kernel reaches at its best. A star marks what misses its goal: as fast as "
            "float, as fast as *static* (DenseNet-121 0.75 of its time, MobileNetV3 0.80, "
            "EfficientNet-B0 0.90), *dynamic* 2.5 times as slow:",
            speed.table(speed.speeds(latency)),
        ]
    )


FOLDED_AWAY = {"spiq_folded": "spiq (no data), BatchNorm folded"}


def time_section(times: dict[str, Any]) -> str:
    """Seconds and memory per network and tool."""
    body = [
        [
            name,
            (TITLES | FOLDED_AWAY)[row],
            *(
                f"{found[key]:.{digits}f}"
                for key, digits in zip(found_keys, (2, 0, 0), strict=True)
            ),
        ]
        for name, entry in times.items()
        for row, found in entry["rows"].items()
        if (found_keys := ("seconds", "peak_mb", "beyond_mb"))
    ]
    repeats = ", ".join(sorted({str(entry["repeats"]) for entry in times.values()}))
    return "\n\n".join(
        [
            f"Medians of {repeats} fresh processes. Seconds count neither imports nor, for "
            "`quantize_static`, loading the images; threads as each tool likes; memory is "
            "the largest resident size, images included.",
            table(["network", "tool", "s", "MB", "MB beyond imports"], body, left=2),
        ]
    )


def sweep_section(sweep: dict[str, Any]) -> str:
    """Every method at every bit width: metric and signal-to-noise ratio."""
    names, body, refused = _methods(sweep), [], {}
    for name, entry in by_task(sweep):
        for bits in entry["bits"]:
            row = entry["rows"][bits]
            shown = [_sweep_cell(row.get(method)) for method in names]
            float_value = f"{entry['float']['value']:.{METRIC_DIGITS}f}" if entry["float"] else "-"
            body.append([name, entry["metric"], bits, float_value, *_bold(row, names, shown)])
            for method, found in row.items():
                if "error" in found:
                    refused.setdefault((method, bits, found["error"]), []).append(name)
    limits = {entry["limit"] for entry in sweep.values()} - {None}
    parts = [
        "What `spiq sweep` measures: methods that need no data, batch 1, the labelled images of "
        "the task cards. The metric, and in parentheses the signal-to-noise ratio of the worst "
        "output against float in dB; bold: the best metric of its line"
        + (f". Only the first {min(limits)} images." if limits else "."),
        table(["network", "metric", "bits", "float", *(f"`{name}`" for name in names)], body, 3),
    ]
    lines = [
        f"- `{method}` {bits}, {', '.join(where)}: {reason}"
        for (method, bits, reason), where in refused.items()
    ]
    return "\n\n".join(parts + (["Not done:", "\n".join(lines)] if lines else []))


def _methods(sweep: dict[str, Any]) -> list[str]:
    """All methods, in the order in which they were asked for."""
    return list(dict.fromkeys(name for entry in sweep.values() for name in entry["methods"]))


def _sweep_cell(found: dict[str, Any] | None) -> str:
    if found is None or "error" in found:
        return NOTHING
    ratio = found["worst_snr_db"]
    snr = "exact" if ratio is None else f"{ratio:.{SNR_DIGITS}f}"
    return f"{found['value']:.{METRIC_DIGITS}f} ({snr})"


def _bold(row: Rows, names: Sequence[str], shown: Sequence[str]) -> list[str]:
    """The cells of a line, with the best metric in bold, or several where they print alike."""
    values = [row.get(method, {}).get("value") for method in names]
    first = best(values, digits=METRIC_DIGITS)
    return [f"**{text}**" if bold else text for text, bold in zip(shown, first, strict=True)]


def folded_section(folded: dict[str, Any]) -> str:
    """Metrics and signal-to-noise ratios with BatchNorm kept, folded away, and with ten images."""
    made = [row for row in FOLDED if row != "float"]
    ratios = [
        [name, output, *(_ratio(entry["rows"].get(row), output) for row in made)]
        for name, entry in by_task(folded)
        for output in entry["rows"]["folded"]["snr_db"]
    ]
    return "\n\n".join(
        [
            "No option but `--images`: spiq infers the input's range; where it warned, of that "
            "or of the SNR it expects, the figure has an asterisk. BatchNorm is folded by ONNX "
            "Runtime's basic optimizations. Networks that never had one have the same file in "
            "both columns. The ten images are the last of those that are measured.",
            folded_table(folded),
            "Signal-to-noise ratio of the outputs against float, in dB:",
            table(["network", "output", *(FOLDED[row] for row in made)], ratios, left=2),
        ]
    )


def folded_table(folded: dict[str, Any]) -> str:
    """One line per network: the metric with BatchNorm kept, folded away, and with ten images."""
    body = [
        [name, METRICS[entry["metric"]], *(_told(entry["rows"][row]) for row in FOLDED)]
        for name, entry in by_task(folded)
    ]
    return table(["network", "metric", *FOLDED.values()], body, left=2)


def _told(found: dict[str, Any]) -> str:
    """A metric, with an asterisk where a warning came with it."""
    return _cell(found, "{value:.2f}") + ("\\*" if found.get("warnings") else "")


SECTIONS = {
    "accuracy": ("Accuracy", accuracy_section),
    "accuracy_without_vnni": ("Accuracy on a CPU without VNNI", accuracy_section),
    "folded": ("BatchNorm folded away, and ten images", folded_section),
    "sweep": ("Methods and bit widths", sweep_section),
    "latency": ("Latency", latency_section),
    "latency_without_vnni": ("Latency on a CPU without VNNI", latency_section),
    "quantize_time": ("Time and memory to quantize", time_section),
}


def page(results: dict[str, dict[str, Any]]) -> str:
    """All of docs/results.md."""
    parts = ["# Results", "Written by `python bench/tables.py`; `make bench` measures all of it."]
    for name, (title, section) in SECTIONS.items():
        if not results[name]:
            continue
        stamps = [entry["stamp"] for entry in results[name].values()]
        made = "; ".join(f"{key} {_all(stamps, key)}" for key in ("spiq", "onnxruntime", "nncf"))
        script, where = name.removesuffix(common.WITHOUT_VNNI), _all(stamps, "cpu")
        parts += [
            f"## {title}",
            f"`python bench/{script}.py`, {_all(stamps, 'date')}, on {where}; {made}.",
            section(results[name]),
        ]
    return "\n\n".join([*parts, *backend_section(common.load("backend"))]) + "\n"


def backend_section(found: dict[str, Any]) -> list[str]:
    """What became of the models of ONNX's backend tests."""
    counts = ", ".join(f"{count} {kind}" for kind, count in found.items() if kind != "failures")
    return ["## Models of ONNX's backend tests", f"`python bench/backend.py`: {counts}."] * bool(
        found
    )


def _all(stamps: Iterable[dict[str, str]], key: str) -> str:
    return ", ".join(sorted({stamp[key] for stamp in stamps if stamp[key]})) or "not installed"


def update_readme(made: str) -> None:
    """Put the table of results between its markers in the README."""
    old = README.read_text()
    before, rest = old.split("<!-- results:begin -->", 1)
    behind = rest.split("<!-- results:end -->", 1)[1]
    text = f"{before}<!-- results:begin -->\n{made}\n<!-- results:end -->{behind}"
    if text != old:
        _replace(README, text)


def _replace(path: os.PathLike[str], text: str) -> None:
    """Write the file, whole or not at all."""
    part = f"{os.fspath(path)}.tmp"
    with open(part, "w") as stream:
        stream.write(text)
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write docs/results.md and the README's table.")
    parser.add_argument("--print", action="store_true", help="print them, change no file")
    arguments = parser.parse_args()
    results = {name: common.load(name) for name in SECTIONS}
    if arguments.print:
        print(readme_table(results), page(results), sep="\n\n")
        return
    RESULTS_PAGE.parent.mkdir(exist_ok=True)
    _replace(RESULTS_PAGE, page(results))
    update_readme(readme_table(results))
    coverage_tables.write()


if __name__ == "__main__":
    main()
