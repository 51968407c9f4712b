"""Quantize the models of ONNX's backend tests: each ends in a model or in one clear error.

They hold every operator in every form. Each is tried as it is; once more with all inputs but the
first made constants, which makes layers of MatMul, Gemm and Conv; and, if its input is float, with
that in between layers (``backend_layers.py``). Counted as failures: an exception that is no
SpiqError or has several lines; more than a minute; a result that does not load with the runtime's
default options; outputs of another shape or type than in float, or of other values
(``backend_values.py``). The "real" models, which would have to be fetched, are left out.

Usage: python bench/backend.py [--only PART] [--kept FILE [--seconds N]] [--out FILE]

With ``--kept`` each outcome is appended to a file of JSON lines, and what stands there is not
tried again: all of it takes an hour of one core, which may be cut in slices of ``--seconds``.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

import backend_values
import spiq
from backend_layers import Variant, between_layers
from backend_values import Feeds

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
PATIENCE = 60.0
"""Seconds that a model may take."""

FAILURES = ("traceback", "hang", "does not load", "other shape", "other values")


def variants(only: str) -> Iterator[Variant]:
    """Yield every model, and its form with constants where it has several inputs."""
    from onnx.backend.test import loader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = [test for kind in KINDS for test in loader.load_model_tests(kind=kind)]
    for test in tests:
        if only not in test.name:
            continue
        if test.model is None:
            model = onnx.load(Path(test.model_dir) / "model.onnx")
            given = _stored(Path(test.model_dir) / "test_data_set_0")
        else:
            model, given = test.model, list(test.data_sets[0][0])
        fixed = {tensor.name for tensor in model.graph.initializer}
        names = [value.name for value in model.graph.input if value.name not in fixed]
        feeds = dict(zip(names, given, strict=False))
        yield Variant(test.name, model.SerializeToString(), feeds)
        if len(names) > 1:
            yield with_constants(test.name, model, feeds)
        if (wrapped := between_layers(with_constants(test.name, model, feeds))) is not None:
            yield wrapped


def _stored(folder: Path) -> list[object]:
    paths = sorted(folder.glob("input_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
    return [numpy_helper.to_array(onnx.load_tensor(str(path))) for path in paths]


def with_constants(name: str, model: onnx.ModelProto, feeds: Feeds) -> Variant:
    """Return the variant in which all inputs but the first are constants, where they can be."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    fixed = {key: value for key, value in list(feeds.items())[1:] if isinstance(value, np.ndarray)}
    kept = [value for value in changed.graph.input if value.name not in fixed]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    changed.graph.initializer.extend(
        numpy_helper.from_array(array, key) for key, array in fixed.items()
    )
    left = {key: value for key, value in feeds.items() if key not in fixed}
    return Variant(f"{name} with constants", changed.SerializeToString(), left)


def outcome(variant: Variant) -> tuple[str, str]:
    """Return what became of a variant, and the message that goes with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = spiq.quantize(variant.model, config_for(variant))
    except spiq.SpiqError as error:
        return ("refused" if "\n" not in str(error) else "traceback"), str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    try:
        opened = ort.InferenceSession(made.model, providers=["CPUExecutionProvider"])
    except Exception as error:
        return "does not load", str(error)
    return compared(variant, made.model, opened)


def config_for(variant: Variant) -> spiq.Config:
    """Return the options: what the floats of its inputs are."""
    names = {value.name for value in onnx.ModelProto.FromString(variant.model).graph.input}
    said = backend_values.told({n: a for n, a in variant.feeds.items() if n in names})
    return spiq.Config(timing=False, inputs=said)


def compared(variant: Variant, made: bytes, opened: ort.InferenceSession) -> tuple[str, str]:
    """Run both on the test's own input and compare their outputs: kinds, then values."""
    feeds = variant.feeds
    try:
        float_one = ort.InferenceSession(variant.model, providers=["CPUExecutionProvider"])
        before = float_one.run(None, feeds)
    except Exception as error:  # not for want of quantization
        return "quantized", f"the float model does not run: {error}"
    taken = {node.name: node.type for node in opened.get_inputs()}
    read_as = {name: backend_values.in_single(a, taken[name]) for name, a in feeds.items()}
    try:
        after = opened.run(None, read_as)
    except Exception as error:
        return "does not load", str(error)
    kinds = [[(np.shape(a), getattr(a, "dtype", None)) for a in one] for one in (before, after)]
    if any(read_as[name] is not array for name, array in feeds.items()):
        kinds = [[shape for shape, _ in kind] for kind in kinds]
    if kinds[0] != kinds[1]:
        return "other shape", str(kinds)
    return backend_values.judged(variant.model, float_one, opened, feeds, made)


def work(connection: Connection) -> None:
    """Answer variants with their outcomes until none comes."""
    logging.disable(logging.CRITICAL)
    ort.set_default_logger_severity(4)
    while (variant := connection.recv()) is not None:
        connection.send(outcome(variant))


@dataclass
class Worker:
    """A process that tries variants one after the other, and is replaced if it hangs or dies."""

    process: multiprocessing.Process | None = None
    connection: Connection | None = None

    def ask(self, variant: Variant) -> tuple[str, str]:
        """Return the outcome of a variant."""
        if self.process is None or self.connection is None:
            self.connection, theirs = multiprocessing.Pipe()
            self.process = multiprocessing.Process(target=work, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()
        self.connection.send(variant)
        try:
            if self.connection.poll(PATIENCE):
                return self.connection.recv()
            found = "hang", f"more than {PATIENCE:.0f} s"
        except EOFError:
            found = "traceback", "the process died"
        self.close()
        return found

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = self.connection = None


def main() -> int:
    """Try all variants; write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="tests whose name holds this")
    parser.add_argument("--kept", type=Path, help="JSON lines of outcomes, appended to")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ort.set_default_logger_severity(4)
    outcomes = known(options.kept)
    is_whole = try_all(options, outcomes)
    failures = [
        {"model": name, "outcome": kind, "message": message[:300]}
        for name, (kind, message) in outcomes.items()
        if kind in FAILURES
    ]
    counts = Counter(kind for kind, _ in outcomes.values())
    result = {
        "models": len(outcomes),
        **{kind: counts[kind] for kind in ("quantized", "refused", *FAILURES)},
        "failures": failures,
    }
    print(json.dumps({**result, "failures": len(failures), "whole": is_whole}))
    if options.out is not None and is_whole:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failures else 0


def known(path: Path | None) -> dict[str, tuple[str, str]]:
    """Return the outcomes that a file of an earlier slice has, by variant."""
    if path is None or not path.exists():
        return {}
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return {name: (kind, message) for name, kind, message in lines}


def try_all(options: argparse.Namespace, outcomes: dict[str, tuple[str, str]]) -> bool:
    """Add the outcomes of variants that have none; return whether all have one."""
    worker, begun = Worker(), time.monotonic()
    try:
        for variant in variants(options.only):
            if variant.name in outcomes:
                continue
            if time.monotonic() - begun > options.seconds:
                return False
            kind, message = outcomes[variant.name] = worker.ask(variant)
            if kind in FAILURES:
                print(f"{variant.name}: {kind}: {message[:300]}", flush=True)
            if options.kept is not None:
                with options.kept.open("a") as file:
                    file.write(json.dumps([variant.name, kind, message]) + "\n")
    finally:
        worker.close()
    return True


if __name__ == "__main__":
    sys.exit(main())
