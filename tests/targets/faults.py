"""What is said of a path that is no target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from greenmicro.errors import ConfigError
from greenmicro.targets import resolve

#: The fixture `write`: takes a module's path and source.
Write = Callable[..., None]


def fault(path: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    (only,) = caught.value.faults
    return only
