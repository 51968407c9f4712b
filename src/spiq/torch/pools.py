"""Global pools of maps whose channels lie last in memory, as Swin's are behind a permute.

    adaptive_avg_pool2d(x, 1) = mean(x, (2, 3), keepdim=True)

The exporter writes a mean, and behind it ``as_strided``, to keep the order in memory: in ONNX a
Gather of the flattened means by indices that it computes, behind which no channel is known. So all
had one range: on Swin v2 the last layer's input kept 20 dB, and the outputs 8.
"""

import torch
from torch.export import ExportedProgram

_POOL = torch.ops.aten.adaptive_avg_pool2d.default


def plain_pools(program: ExportedProgram) -> ExportedProgram:
    """Write global pools of what is not contiguous as means, in place; return the program."""
    graph = program.graph
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not _POOL or len(node.args) != 2:
            continue
        source, sizes = node.args
        if list(sizes) != [1, 1] or source.meta["val"].is_contiguous():
            continue
        with graph.inserting_before(node):
            mean = graph.call_function(torch.ops.aten.mean.dim, (source, [-2, -1], True))
        mean.meta = node.meta
        if any(user.op == "output" for user in node.users):
            graph.erase_node(mean)  # the program's signature names it
            continue
        node.replace_all_uses_with(mean)
        graph.erase_node(node)
    program.graph_module.recompile()
    return program
