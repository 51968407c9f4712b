"""What a sweep is asked for: networks with their cards, methods, bit widths.

The key of a cell is a hash of all that its result depends on: the network's file and weights, the
card, the number of images, method and bits, the runtime's version, and the code of spiq that
quantizes and evaluates. A result under another key is stale.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from spiq.config import Config
from spiq.engine.code import code_hash, file_hash, text_hash
from spiq.errors import ConfigError, ModelError
from spiq.evaluation import Card, read
from spiq.evaluation.data.preprocess import input_range
from spiq.methods import METHODS
from spiq.value_checks import at_least, one_of

MODEL = "model.onnx"
"""The network of a card that is given without one: the file of this name beside it."""

_BITS = re.compile(r"W(\d+)A(\d+)", re.IGNORECASE)
_IRRELEVANT = frozenset({"cli", "demo", "engine", "sweep", "inspection"})
"""Packages that change no figure. What is kept of an evaluation is covered by _FORM."""

_FORM = 2
"""Of the stored results; to be raised where it changes, so that older ones are stale."""


@dataclass(frozen=True, order=True)
class Bits:
    """A bit width, as in W8A8."""

    weight: int
    activation: int

    def __str__(self) -> str:
        return f"W{self.weight}A{self.activation}"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network, and what it is measured on."""

    name: str
    task: str
    model: Path
    card: Path
    limit: int | None
    """Only that many images of the card."""
    digest: str
    """Hash of the network, the card, the limit and the code."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A network to be quantized by a method to a bit width."""

    subject: Subject
    method: str
    bits: Bits

    @property
    def key(self) -> str:
        """Hash of all that the result depends on."""
        return text_hash(self.subject.digest, self.method, str(self.bits))

    def config(self, card: Card) -> Config:
        """The options of the quantization, which is told what pixels become in the input.

        Raises:
            ConfigError: The method cannot do that.
        """
        return Config(
            method=self.method,
            weight_bits=self.bits.weight,
            activation_bits=self.bits.activation,
            input_range=input_range(card.input),
            timing=False,
        )


def methods(text: str | None) -> tuple[str, ...]:
    """Return the methods that a text like ``spiq,static`` names; None: all.

    Raises:
        ConfigError: One is unknown, or none is named.
    """
    if text is None:
        return tuple(METHODS)
    names = _parts(text)
    for name in names:
        one_of("method", name, METHODS)
    if not names:
        raise ConfigError(f"no method is named: choose one of {', '.join(METHODS)}")
    return names


def bits(text: str, names: Sequence[str]) -> tuple[Bits, ...]:
    """Return the bit widths that a text like ``W8A8,W4A8`` names, for the methods ``names``.

    Raises:
        ConfigError: One is no bit width, or one that none of the methods can do; or none is named.
    """
    widths = []
    for part in _parts(text):
        found = _BITS.fullmatch(part)
        if found is None:
            raise ConfigError(f"bits {part!r}: write them like W8A8, separated by commas")
        widths.append(Bits(int(found[1]), int(found[2])))
        _possible(widths[-1], names)
    if not widths:
        raise ConfigError("no bit width is named: write them like W8A8, separated by commas")
    return tuple(dict.fromkeys(widths))


def subjects(texts: Sequence[str], *, limit: int | None = None) -> tuple[Subject, ...]:
    """Read cards, each given as ``CARD`` or ``CARD=MODEL``.

    Raises:
        CardError: A card is wrong.
        ModelError: There is no such network.
        ConfigError: No card is given, two have one name, or ``limit`` is below 1.
    """
    if not texts:
        raise ConfigError("no card is given: name at least one")
    at_least(1, limit=limit)
    made: dict[str, Subject] = {}
    for text in dict.fromkeys(texts):
        subject = _subject(*_located(text), limit)
        if (other := made.get(subject.name)) is not None:
            raise ConfigError(
                f"{other.card} and {subject.card} have one name, {subject.name!r}: rename one"
            )
        made[subject.name] = subject
    return tuple(made.values())


def cells(
    networks: Sequence[Subject], names: Sequence[str], widths: Sequence[Bits]
) -> tuple[Cell, ...]:
    """Return all cells: by network, bit width and method."""
    return tuple(
        Cell(subject=subject, method=name, bits=width)
        for subject in networks
        for width in widths
        for name in names
    )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _possible(width: Bits, names: Sequence[str]) -> None:
    """Refuse a bit width that is beyond all methods."""
    problem: ConfigError | None = None
    for name in names:
        try:
            Config(method=name, weight_bits=width.weight, activation_bits=width.activation)
        except ConfigError as error:
            problem = problem or error
        else:
            return
    raise ConfigError(f"bits {str(width)!r}: {problem}") from problem


def _located(text: str) -> tuple[Path, Path]:
    """Return the paths of a card and of its network."""
    card, _, model = text.rpartition("=")
    if not card or Path(text).is_file():
        return Path(text), Path(text).with_name(MODEL)
    return Path(card), Path(model)


def _subject(where: Path, model: Path, limit: int | None) -> Subject:
    card = read(where)
    if not model.is_file():
        raise ModelError(
            f"{where}: there is no network {str(model)!r}: give the card as {where}=MODEL.onnx"
        )
    paths = (model.resolve(), where.resolve())
    code, data = code_hash(without=_IRRELEVANT), str(card.dataset.dir.resolve())
    digest = text_hash(_network(model), file_hash(where), data, str(limit), str(_FORM), code)
    return Subject(
        name=card.name, task=card.task, model=paths[0], card=paths[1], limit=limit, digest=digest
    )


def _network(path: Path) -> str:
    """Hash a network's file and those that hold its weights, where it can be read."""
    try:
        weights = onnx.load(path, "protobuf", load_external_data=False).graph.initializer
    except (DecodeError, OSError):
        return file_hash(path)
    places = {x.value for w in weights for x in w.external_data if x.key == "location"}
    files = (path.parent / place for place in sorted(places))
    return text_hash(file_hash(path), *map(file_hash, filter(Path.is_file, files)))
