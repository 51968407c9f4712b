"""Where what is kept from one call to the next lies: the cache of the user."""

import os
from pathlib import Path


def user_cache(kind: str) -> Path:
    """Return the folder of the user's cache for things of a kind; it need not be there."""
    room = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(room) / "spiq" / kind
