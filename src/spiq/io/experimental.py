"""Operators of ONNX's first years that ONNX Runtime runs and no schema knows any longer.

ImageScaler    y_c = scale x_c + bias_c, of images (N, C, H, W)    Mul and Add
Affine         y = alpha x + beta                                  Mul and Add

Converters from Core ML write the first in front of the first layer: networks of Windows ML's have
it. (ONNX had both as experimental operators until 1.4; ONNX Runtime keeps them.)
"""

import numpy as np
import onnx_ir as ir

from spiq.graph.edit import initializer, replace, unique_name


def spell_out(model: ir.Model) -> int:
    """Write experimental operators as those that have a schema, in place; return how many."""
    found = [node for node in model.graph if node.domain == "" and node.op_type in _STEPS]
    for node in found:
        _spell(node, model.graph, *_STEPS[node.op_type](node))
    return len(found)


def _spell(node: ir.Node, graph: ir.Graph, factor: np.ndarray, shift: np.ndarray) -> None:
    """Put factor x + shift in the place of a node."""
    by, more = (
        initializer(graph, unique_name(graph, f"{node.outputs[0].name}_{name}"), array)
        for name, array in (("factor", factor), ("shift", shift))
    )
    product = ir.node("Mul", [node.inputs[0], by], name=f"{node.name or node.op_type}_factor")
    product.outputs[0].name = unique_name(graph, f"{node.outputs[0].name}_scaled")
    graph.insert_before(node, product)
    replace(node, ir.node("Add", [product.outputs[0], more], name=node.name))


def _of_images(node: ir.Node) -> tuple[np.ndarray, np.ndarray]:
    scale, bias = node.attributes.get_float("scale", 1.0), node.attributes.get_floats("bias", [])
    shift = np.array(bias or [0.0], np.float32).reshape(-1, 1, 1)
    return np.array(scale, np.float32), shift


def _affine(node: ir.Node) -> tuple[np.ndarray, np.ndarray]:
    numbers = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 0.0))
    factor, shift = (np.array(number, np.float32) for number in numbers)
    return factor, shift


_STEPS = {"Affine": _affine, "ImageScaler": _of_images}
