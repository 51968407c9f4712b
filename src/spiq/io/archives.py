"""What a file is that is no ONNX file but a zip archive or a pickle: PyTorch has three kinds.

A pickle is a program: to read it is to run what is in it, whoever wrote it. So none is read here.
"""

import io
import zipfile

PICKLED = (
    "a pickled PyTorch file: to read it is to run whatever is in it, and it may hold weights "
    "without the network. Build the module in Python, load the weights and call "
    "spiq.torch.quantize, save it by torch.export.save as a .pt2 file, or export the network to "
    "ONNX with BatchNorm kept"
)
_PROGRAM = (
    "a PyTorch program: give spiq.torch.quantize what torch.export.load makes of it, or `spiq "
    "quantize` the file, named .pt2; or export the network to ONNX"
)
_SCRIPT = (
    "a TorchScript file: BatchNorm cannot be kept from there. Give spiq.torch.quantize the "
    "nn.Module that it was made from, or export the network to ONNX"
)


def described(content: bytes) -> str:
    """Return what a zip archive holds, and what to do."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        names = []
    if is_program(names):
        return _PROGRAM
    if any(name.endswith("/data.pkl") for name in names):
        return _SCRIPT if any("/code/" in name for name in names) else PICKLED
    return "a zip archive: unpack it, or export the network to ONNX"


def is_program(names: list[str]) -> bool:
    """Return whether an archive with files of these names is one of torch.export.save."""
    ends = ("/models/model.json", "serialized_exported_program.json")
    return any(name.endswith(ends) for name in names)
