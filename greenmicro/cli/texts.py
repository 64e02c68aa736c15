"""What the command line prints: tables and blocks of text that no message can forge or colour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from greenmicro.cli.letters import Letter

#: An error in a table is cut to so many characters, a body in a block to so many.
ERROR_WIDTH = 60
BODY_LIMIT = 2_000
TIME = '%Y-%m-%d %H:%M:%S'
HEADINGS = ('TIME (UTC)', 'ATTEMPTS', 'REASON', 'ERROR', 'MESSAGE ID', 'BYTES')


def printable(text: str, lines: bool = False) -> str:
    """Write what is not printable as escapes: a peer's text must not move the cursor, or forge a line.

    Args:
        text: Anything.
        lines: Whether line breaks and tabs may stay.
    """
    kept = '\n\t' if lines else ''
    return ''.join(
        mark if mark.isprintable() or mark in kept else mark.encode('unicode_escape').decode()
        for mark in text
    )


def table(letters: Sequence[Letter]) -> str:
    """Lay letters out in aligned columns, one a line; headings bold and reasons coloured."""
    rows = [_row(letter) for letter in letters]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    return '\n'.join(
        [click.style(_line(HEADINGS, widths), bold=True)] + [_coloured(row, widths) for row in rows]
    )


def block(letter: Letter, number: int, of: int) -> str:
    """Write all there is to say of one letter."""
    names = {
        'message id': letter.message_id,
        'reason': letter.reason,
        'error': letter.error,
        'attempts': _or_nothing(letter.attempts),
        'time (UTC)': letter.time.strftime(TIME) if letter.time else '',
        'goes back to': letter.origin,
        'host': letter.host,
        'properties': ', '.join(f'{key}={value!r}' for key, value in letter.properties.items()),
        'headers': ', '.join(
            f'{key}={value!r}' for key, value in letter.headers.items() if not str(key).startswith('greenm')
        ),
    }
    told = [f'  {name:<14}{printable(value)}' for name, value in names.items() if value]
    parts = {f'body, {len(letter.body)} bytes': _body(letter.body), 'traceback': letter.traceback}
    for name, text in parts.items():
        if text:
            told += [f'  {name}', *(f'    {line}' for line in printable(text, lines=True).splitlines())]
    return '\n'.join([click.style(f'letter {number} of {of}', bold=True), *told])


def as_json(values: Any) -> str:
    """Write values as JSON; what JSON does not know becomes a text."""
    return json.dumps(values, indent=2, default=str)


def _row(letter: Letter) -> tuple[str, ...]:
    error = printable(letter.error)
    return (
        letter.time.strftime(TIME) if letter.time else '-',
        _or_nothing(letter.attempts) or '-',
        printable(letter.reason) or '-',
        (error if len(error) <= ERROR_WIDTH else f'{error[: ERROR_WIDTH - 3]}...') or '-',
        printable(letter.message_id) or '-',
        str(len(letter.body)),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _coloured(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    padded[2] = click.style(padded[2], fg='yellow')
    padded[3] = click.style(padded[3], fg='red')
    return '  '.join(padded).rstrip()


def _body(body: bytes) -> str:
    text = body.decode('utf-8', 'backslashreplace')
    if len(text) <= BODY_LIMIT:
        return text
    return f'{text[:BODY_LIMIT]}\n... {len(text) - BODY_LIMIT} characters more; --json has them all'


def _or_nothing(value: object) -> str:
    return '' if value is None else str(value)
