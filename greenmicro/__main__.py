"""`python -m greenmicro`: the command line."""

from __future__ import annotations

import sys

from greenmicro.cli import main

sys.exit(main())
