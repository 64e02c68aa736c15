"""The options that all benchmarks have."""

import argparse
from pathlib import Path

from . import ROOT


def parser(description: str | None, rounds: int, quick_rounds: int) -> argparse.ArgumentParser:
    """Make a parser with --quick, --rounds and --out.

    Args:
        description: The benchmark's docstring; its first line is shown.
        rounds: How many rounds the full run has.
        quick_rounds: How many the quick one has.
    """
    made = argparse.ArgumentParser(description=(description or '').partition('\n')[0])
    made.add_argument('--quick', action='store_true', help='a shorter run that ends within a minute')
    made.add_argument(
        '--rounds', type=int, help=f'rounds, interleaved; else {rounds}, or {quick_rounds} with --quick'
    )
    made.add_argument(
        '--out', type=Path, default=ROOT / 'benchmarks' / 'results', help='where JSON and chart go'
    )
    made.set_defaults(usual_rounds=(quick_rounds, rounds))
    return made


def parse(made: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; `rounds` is settled by --quick where it is not given."""
    options = made.parse_args()
    quick_rounds, rounds = options.usual_rounds
    del options.usual_rounds
    if options.rounds is None:
        options.rounds = quick_rounds if options.quick else rounds
    return options
