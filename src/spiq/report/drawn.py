"""What draws the charts of a page: Vega's script, and the specifications of the charts.

Both are the same for every network, and take two seconds to make; for more than one of these
vl-convert lets nothing else of the process run. So they are made once, in a process beside this
one, and kept under the user's cache, by the versions of what makes them and the source of the
charts.
"""

import hashlib
import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiq import __version__
from spiq.errors import ConfigError
from spiq.io.atomic import pending, tidy
from spiq.io.user_cache import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = "a report needs Vega-Altair and vl-convert: pip install 'spiq[report]'"

_SOURCE = ("charts.py", "drawn.py", "facts.py")
"""What makes them here."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What draws charts.

    Attributes:
        script: Vega, Vega-Lite and Vega-Embed in one script.
        timed: Specifications of the charts, by name, where times are known.
        untimed: The same where they are not.
    """

    script: str
    timed: dict[str, Any]
    untimed: dict[str, Any]


def check_installed() -> None:
    """See that there is what draws charts; imports none of it.

    Raises:
        ConfigError: There is not.
    """
    if find_spec("altair") is None or find_spec("vl_convert") is None:
        raise ConfigError(MISSING)


@contextmanager
def drawing() -> "Iterator[Future[Drawn]]":
    """Begin to get what draws charts, in a thread.

    Raises:
        ConfigError: What is needed for it is not installed.
    """
    check_installed()
    with ThreadPoolExecutor(1, thread_name_prefix="spiq") as beside:
        yield beside.submit(drawn)


def drawn() -> Drawn:
    """Return what draws charts: what is kept of it, or else it is made and kept.

    Raises:
        ConfigError: What is needed for it is not installed.
    """
    check_installed()
    file = _file()
    found = _kept(file)
    if found is None:
        found = _made_beside() or made()
        _keep(found, file)
    return found


def made() -> Drawn:
    """Make it, in this process.

    Raises:
        ConfigError: What is needed for it is not installed.
    """
    try:
        import altair
        import vl_convert

        from spiq.report.charts import charts
    except ImportError as error:
        raise ConfigError(MISSING) from error
    lite = "_".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle(vl_version=lite)
    return Drawn(
        script=f"(() => {{{script}}})();".replace("</script", "<\\/script"),
        timed=charts(timed=True),
        untimed=charts(timed=False),
    )


def _made_beside() -> Drawn | None:
    """Make it in a process of its own; None where that cannot be, whatever is the matter."""
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=True)
    except (OSError, TypeError, ValueError, subprocess.SubprocessError):  # no Python to start, too
        return None
    return _read(done.stdout)


def _read(content: bytes) -> Drawn | None:
    try:
        return Drawn(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _kept(file: Path) -> Drawn | None:
    try:
        return _read(file.read_bytes())
    except OSError:
        return None


def _keep(found: Drawn, file: Path) -> None:
    """Write it, whole or not at all; where that fails, it is made anew each time."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        tidy(file.parent)
        for old in file.parent.glob("*.json"):
            old.unlink(missing_ok=True)
        with pending(file.parent) as new:
            new.stream.write(json.dumps(asdict(found)).encode())
            new.place(file)


def _file() -> Path:
    """Where it is kept, by all that it depends on."""
    sources = b"\0".join((files(__package__) / name).read_bytes() for name in _SOURCE)
    tools = [version(name) for name in ("altair", "vl-convert-python")]
    key = hashlib.sha256(repr((__version__, *tools)).encode() + sources).hexdigest()[:32]
    return user_cache("report") / f"{key}.json"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(made())))
