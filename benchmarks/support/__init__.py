"""What the benchmarks share: a private broker, services under test, measuring, tables and charts."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A benchmark is run as a script, which leaves the checkout, and `tests.support` in it, off the path.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
