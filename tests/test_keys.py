"""The table of settings: that what it tells the reader is what the code does."""

from __future__ import annotations

import re

import pytest

from greenmicro import keys, kinds
from greenmicro.keys import KEYS, REQUIRED, Key, document
from tests.fakes import settings

ROWS = {row.split('`')[1]: row.split(' | ') for row in document().splitlines()[2:]}


def test_the_table_for_the_readme_has_each_key() -> None:
    """One row a key: name, default, unit or values, meaning."""
    assert list(ROWS) == [key.name for key in KEYS]
    assert all(len(row) == 4 for row in ROWS.values())
    assert all(row[2] == key.kind.wanted for row, key in zip(ROWS.values(), KEYS, strict=True))
    assert ROWS['AMQP_URI'][1] == 'required'
    assert ROWS['WORKER_MODE'][1] == '`thread`'
    assert ROWS['STOP_TIMEOUT_S'][1] == '`30.0`'


def test_each_key_is_told_in_a_sentence() -> None:
    """It begins with a capital and ends with a full stop."""
    assert [key.name for key in KEYS if not re.fullmatch(r'[A-Z].*\.', key.meaning)] == []


def test_what_holds_without_a_value_is_told_where_there_is_none() -> None:
    """Exactly where the default is None."""
    assert [key.name for key in KEYS if bool(key.unset) != (key.default is None)] == []


@pytest.mark.parametrize('key', [key for key in KEYS if key.default not in (None, REQUIRED)])
def test_a_default_is_a_setting(key: Key) -> None:
    """What stands in the table as the default is what one gets without a value."""
    assert getattr(settings(), key.name.lower()) == key.default


@pytest.mark.parametrize('workers', [1, 3, 8, 9, 10, 100])
def test_the_default_of_prefetch_is_as_told(workers: int) -> None:
    """The README has the formula by which the code reckons, and the limit."""
    formula = ROWS['PREFETCH'][1].split('`')[1]
    told = eval(formula, {'MAX_WORKERS': workers, 'max': max})
    assert settings(MAX_WORKERS=workers).prefetch_for(1) == told
    assert ROWS['PREFETCH'][1].endswith('would hold 20,000')
    assert 20_000 / 2 > settings(MAX_WORKERS=20_000).prefetch_for(2) > 9_990


def test_a_bar_in_a_cell_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end the cell."""
    monkeypatch.setattr(keys, 'KEYS', (Key('A', kinds.FLAG, None, 'One | two.', unset='a|b'),))
    assert document().splitlines()[2] == '| `A` | a\\|b | True or False | One \\| two. |'
