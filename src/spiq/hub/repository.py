"""Files of repositories of the Hugging Face Hub, by ``hf:ORG/REPO/PATH`` or ``...@REVISION``.

``huggingface_hub`` does the work: it keeps what it loads, and takes its token and address from
where it always does (``hf auth login``, ``HF_TOKEN``, ``HF_ENDPOINT``).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from spiq.errors import ConfigError

_FORM = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+)/(?P<path>[^@]+?\.onnx)(@(?P<revision>[^@\s]+))?", re.ASCII
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """A file of a repository."""

    repo: str
    path: str
    revision: str | None = None


def parsed(text: str) -> Reference:
    """Return what a text like ``hf:org/repo/model.onnx`` means.

    Raises:
        ConfigError: It has another form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text}: write it like hf:org/repo/model.onnx, or with @revision behind")
    return Reference(found["repo"], found["path"], found["revision"])


def load(reference: Reference) -> Path:
    """Load a network, unless it was before, and the files of its weights; return where it is.

    Raises:
        ConfigError: It is not there, cannot be loaded, or huggingface_hub is not installed.
    """
    hub = _hub()
    found = _loaded(hub, reference, reference.path)
    others = _weights(found, reference)
    if not others:
        return found
    # What the cache holds are links, which no weights are read through: copies, side by side.
    names = (reference.repo.replace("/", "--"), reference.revision or "main")
    beside = Path(hub.constants.HF_HUB_CACHE).joinpath("spiq", *names)
    for path in others:
        _loaded(hub, reference, path, local_dir=beside)
    return _loaded(hub, reference, reference.path, local_dir=beside)


def _loaded(hub: Any, reference: Reference, path: str, **where: Path) -> Path:
    with _said(f"hf:{reference.repo}/{path}", hub):
        return Path(hub.hf_hub_download(reference.repo, path, revision=reference.revision, **where))


def _weights(model: Path, reference: Reference) -> list[str]:
    """Return the paths of the files that hold a network's weights; none where it is no network.

    Raises:
        ConfigError: One would lie outside of the network's folder.
    """
    try:
        weights = onnx.load(model, "protobuf", load_external_data=False).graph.initializer
    except DecodeError:  # it is said where it is read
        return []
    places = {one.value for w in weights for one in w.external_data if one.key == "location"}
    for place in map(PurePosixPath, places):
        if place.is_absolute() or ".." in place.parts:
            raise ConfigError(
                f"hf:{reference.repo}/{reference.path}: its weights are at {str(place)!r}, outside "
                "of its folder: load the files yourself if you trust them"
            )
    return sorted(str(PurePosixPath(reference.path).parent / place) for place in places)


def check_repository(name: str) -> str:
    """Return the name of a repository to write to.

    Raises:
        ConfigError: It is none.
    """
    if _REPOSITORY.fullmatch(name) is None:
        raise ConfigError(f"--push {name}: write it like org/repo")
    _hub()
    return name


def push(repo: str, contents: Mapping[str, bytes], *, message: str) -> str:
    """Write files to a repository, which is made if need be, in one commit; return its address.

    Raises:
        ConfigError: It cannot be written to, or huggingface_hub is not installed.
    """
    hub = _hub()
    with _said(f"hf:{repo}", hub):
        api = hub.HfApi()
        address = api.create_repo(repo, exist_ok=True)
        api.create_commit(
            repo,
            [
                hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                for name, content in contents.items()
            ],
            commit_message=message,
        )
    return str(address)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigError("the Hub needs huggingface_hub: pip install '.[hub]'") from error
    return huggingface_hub


@contextmanager
def _said(where: str, hub: Any) -> Iterator[None]:
    """Say in a line what went wrong at the Hub."""
    try:
        yield
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{where}: {reason.rstrip('.')}: check the name, the connection and `hf auth login`"
        ) from error
