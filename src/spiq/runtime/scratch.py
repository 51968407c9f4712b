"""A file for what the runtime can hand out only as a file, which no kill leaves behind."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


@contextmanager
def scratch_file() -> Iterator[Path]:
    """Yield the path of an empty file that is gone after the block, and with the process.

    On Linux it lies in memory and has no name but that of its descriptor; elsewhere it lies in a
    temporary folder, which stays behind where the process is killed.
    """
    if not hasattr(os, "memfd_create") or not _DESCRIPTORS.is_dir():
        with tempfile.TemporaryDirectory(prefix="spiq-") as folder:
            yield Path(folder) / "file"
        return
    number = os.memfd_create("spiq")
    try:
        yield _DESCRIPTORS / str(number)
    finally:
        os.close(number)
