"""What is printed: aligned, and nothing in it that a terminal obeys."""

from __future__ import annotations

import click

from greenmicro.cli import texts
from greenmicro.cli.letters import Letter
from tests.cli.letters import DEAD, letter_of

ATTACK = 'a\x1b[2J\x1b]0;title\x07b\r\nc\u202e\x9b31m\ud800'


def letter(number: int = 1, error: str = 'ValueError: no') -> Letter:
    made = letter_of(number, error)
    return Letter(DEAD, made.body, made.properties, made.headers)


def hostile() -> Letter:
    """A letter with control characters wherever a peer may write."""
    headers = {
        'greenmicro.reason': ATTACK,
        'greenmicro.error': ATTACK,
        'greenmicro.host': ATTACK,
        ATTACK: ATTACK,
    }
    more = {'greenmicro.traceback': ATTACK, 'greenmicro.origin_queue': ATTACK}
    return Letter(DEAD, ATTACK.encode('utf-8', 'surrogatepass'), {'message_id': ATTACK}, {**headers, **more})


def test_a_table_is_aligned() -> None:
    """Each column begins at one place in all lines; a long error is cut."""
    lines = click.unstyle(texts.table([letter(1), letter(200, 'KeyError: ' + 'k' * 99)])).splitlines()
    assert len(lines) == 3
    for heading, cells in (('REASON', ('target error',) * 2), ('MESSAGE ID', ('1', '200'))):
        at = lines[0].index(heading)
        assert [line[at:].startswith(cell) for line, cell in zip(lines[1:], cells, strict=True)] == [
            True,
            True,
        ]
    assert 'k...' in lines[2]
    assert len(lines[2]) < 150


def test_nothing_a_peer_wrote_reaches_the_terminal() -> None:
    """No control character, no line that it forged."""
    table = click.unstyle(texts.table([hostile()]))
    assert len(table.splitlines()) == 2
    block = click.unstyle(texts.block(hostile(), 1, 1))
    for text in (table, block):
        assert all(mark.isprintable() or mark == '\n' for mark in text)
    assert '\n    c' in block, 'its own lines are indented'


def test_a_block_has_it_all() -> None:
    """Names, body and traceback."""
    block = click.unstyle(texts.block(letter(), 2, 3))
    for text in (
        'letter 2 of 3',
        'ValueError: no',
        'tenant=7',
        'body, 9 bytes',
        '    {"id": 1}',
        '      here',
    ):
        assert text in block


def test_a_long_body_is_cut() -> None:
    """And it says where the rest is."""
    block = texts.block(Letter(DEAD, b'x' * 5000, {}, {}), 1, 1)
    assert '... 3000 characters more; --json has them all' in block
