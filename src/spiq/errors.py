"""The errors that spiq raises, as one tree.

    SpiqError                   the root: catch this one
    ├── ModelError              the file or graph cannot be used as it is
    │   └── UnsupportedError    valid, but outside what spiq handles
    ├── ConfigError             an option or an argument makes no sense
    ├── PlanError               a plan does not fit the network it is applied to
    │   └── OtherModelError     it was made for another one
    ├── CardError               a task card is wrong
    ├── OutputError             a result cannot be written
    └── VerificationError       the quantized network failed its check in the runtime

Every message says what happened, where (file, node and operator) and what the user can do.
"""

from collections.abc import Mapping

WARNING = "warning: "
"""What notes begin with that cast doubt on a result."""


class SpiqError(Exception):
    """Root of all errors that spiq raises on purpose.

    >>> import spiq
    >>> try:
    ...     spiq.quantize(b"no model")
    ... except spiq.SpiqError as error:
    ...     print(type(error).__name__)
    ModelError
    """


class ModelError(SpiqError):
    """The model file or its graph cannot be used as it is."""


class UnsupportedError(ModelError):
    """The model is valid, but outside what spiq handles."""


class ConfigError(SpiqError):
    """An option or an argument makes no sense."""


class PlanError(SpiqError):
    """A plan does not fit the network it is applied to."""


class OtherModelError(PlanError):
    """A plan was made for another network."""


class CardError(SpiqError):
    """A task card, or the data set that it names, is wrong."""


class OutputError(SpiqError):
    """A result cannot be written where it was asked for."""


class VerificationError(SpiqError):
    """The quantized network failed its check in the runtime.

    Attributes:
        nodes: Names of the nodes that would have to stay in float, as far as they are known, and
            why.
    """

    def __init__(self, message: str, *, nodes: Mapping[str, str] | None = None) -> None:
        """Take the message, and the nodes that are to blame."""
        super().__init__(message)
        self.nodes = dict(nodes or {})
