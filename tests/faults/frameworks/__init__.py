"""The frameworks that can be judged, by name; each is one file that says how its service is written."""

from tests.faults.frameworks.base import Framework
from tests.faults.frameworks.greenmicro import Greenmicro
from tests.faults.frameworks.nameko import Nameko

FRAMEWORKS: dict[str, Framework] = {framework.name: framework for framework in (Greenmicro(), Nameko())}
