"""Quantize the models of ONNX's backend tests: each ends in a model or in one clear error.

They hold every operator in every form. Each is tried as it is; once more with all inputs but the
first made constants, which makes layers of MatMul, Gemm and Conv; and, if its input is float, with
that in between layers: a 1x1 Conv with a BatchNormalization of images, a MatMul of anything else,
in front of it and behind it. Counted as failures: an
exception that is no SpiqError or has several lines; more than a minute; a result that does not load
with the runtime's default options; outputs of another shape or type than in float. The "real"
models, which would have to be fetched, are left out.

Usage: python bench/backend.py [--only PART] [--out bench/results/backend.json]
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

import spiq

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
PATIENCE = 60.0
"""Seconds that a model may take."""

FAILURES = ("traceback", "hang", "does not load", "other shape")
Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Variant:
    """One model to try, and an input for it as far as it is made of tensors."""

    name: str
    model: bytes
    feeds: Feeds


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


def between_layers(variant: Variant) -> Variant | None:
    """Return the variant with a layer in front and one behind; None where it cannot have them."""
    model = onnx.ModelProto.FromString(variant.model)
    graph, (name, *others) = model.graph, variant.feeds or [""]
    opset = max((one.version for one in model.opset_import if not one.domain), default=0)
    entry = variant.feeds.get(name)
    if others or opset < 13 or not _takes_layers(entry) or not graph.output:
        return None
    end = graph.output[0].name
    try:
        results = ort.InferenceSession(variant.model, providers=["CPUExecutionProvider"])
        found = results.run([end], variant.feeds)[0]
    except Exception:  # not for want of quantization
        return None

    front = _layer("front", entry, "x_in", name)
    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("x_in", 1, entry.shape))
    nodes = [*front, *graph.node]
    if _takes_layers(found):
        nodes += _layer("behind", found, end, "y_out")
        graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y_out", 1, found.shape))
    del graph.node[:]
    graph.node.extend(node for node in nodes if isinstance(node, onnx.NodeProto))
    graph.initializer.extend(node for node in nodes if isinstance(node, onnx.TensorProto))
    text = f"{variant.name} between layers"
    return Variant(text, model.SerializeToString(), {"x_in": entry})


def _takes_layers(array: object) -> bool:
    floats = isinstance(array, np.ndarray) and array.dtype == np.float32
    return floats and array.ndim >= 2 and array.size > 0


def _layer(
    name: str, array: np.ndarray, source: str, result: str
) -> list[onnx.NodeProto | onnx.TensorProto]:
    """Return a layer from ``source`` to ``result`` that keeps the shape of ``array``."""
    rng, size = np.random.default_rng(0), array.shape[1 if array.ndim == 4 else -1]
    weight = (rng.standard_normal((size, size)) / np.sqrt(size)).astype(np.float32)
    if array.ndim != 4:
        matrix = numpy_helper.from_array(weight, f"{name}_w")
        return [matrix, onnx.helper.make_node("MatMul", [source, f"{name}_w"], [result])]
    ones = np.ones(size, np.float32)
    constants = {"w": weight[:, :, None, None], "g": ones, "b": 0 * ones, "m": 0 * ones, "v": ones}
    norm = [f"{name}_{key}" for key in "gbmv"]
    return [
        *(numpy_helper.from_array(value, f"{name}_{key}") for key, value in constants.items()),
        onnx.helper.make_node("Conv", [source, f"{name}_w"], [f"{name}_y"]),
        onnx.helper.make_node("BatchNormalization", [f"{name}_y", *norm], [result]),
    ]


def outcome(variant: Variant) -> tuple[str, str]:
    """Return what became of a variant, and the message that goes with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = spiq.quantize(variant.model, spiq.Config(timing=False))
    except spiq.SpiqError as error:
        return ("refused" if "\n" not in str(error) else "traceback"), str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    try:
        opened = ort.InferenceSession(made.model, providers=["CPUExecutionProvider"])
    except Exception as error:
        return "does not load", str(error)
    return compared(variant.model, opened, variant.feeds)


def compared(model: bytes, opened: ort.InferenceSession, feeds: Feeds) -> tuple[str, str]:
    """Run both on the test's own input and compare the kinds of their outputs."""
    try:
        before = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds)
    except Exception as error:  # not for want of quantization
        return "quantized", f"the float model does not run: {error}"
    taken = {node.name: node.type for node in opened.get_inputs()}
    read_as = {n: _in_single(a) if taken[n] == "tensor(float)" else a for n, a in feeds.items()}
    try:
        after = opened.run(None, read_as)
    except Exception as error:
        return "does not load", str(error)
    if any(read_as[name] is not array for name, array in feeds.items()):
        before = [_in_single(array) for array in before]
    kinds = [[(np.shape(a), getattr(a, "dtype", None)) for a in one] for one in (before, after)]
    return ("quantized", "") if kinds[0] == kinds[1] else ("other shape", str(kinds))


def _in_single(array: Any) -> Any:
    """Return as float32 what a network of half or double precision takes and gives."""
    is_other = getattr(array, "dtype", None) in (np.float16, np.float64)
    return array.astype(np.float32) if is_other else array


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
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ort.set_default_logger_severity(4)
    worker, counts, failures = Worker(), Counter[str](), []
    for variant in variants(options.only):
        kind, message = worker.ask(variant)
        counts[kind] += 1
        if kind in FAILURES:
            failures.append({"model": variant.name, "outcome": kind, "message": message[:300]})
            print(f"{variant.name}: {kind}: {message[:300]}", flush=True)
    worker.close()
    result = {
        "models": sum(counts.values()),
        **{kind: counts[kind] for kind in ("quantized", "refused", *FAILURES)},
        "failures": failures,
    }
    print(json.dumps({**result, "failures": len(failures)}))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
