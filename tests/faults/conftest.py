"""The rows that are to be tested play from the beginning of the run on; they are asked for at its end."""

import pytest

from tests.faults.player import Player

PLAYER = pytest.StashKey[Player]()


def asks_for_a_row(item: pytest.Item) -> bool:
    """Whether a test is one that asks how a row has ended."""
    return isinstance(item, pytest.Function) and 'player' in item.fixturenames


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those tests behind all others, which run while the rows play."""
    items.sort(key=asks_for_a_row)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to play the rows that are asked for."""
    asking = [item for item in session.items if asks_for_a_row(item)]
    rows = [item.callspec.params['row'] for item in asking if isinstance(item, pytest.Function)]
    if rows and not session.config.getoption('collectonly'):
        session.config.stash[PLAYER] = Player(rows).start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what still plays, in a run that was broken off."""
    if PLAYER in session.config.stash:
        session.config.stash[PLAYER].close()


@pytest.fixture(scope='session')
def player(pytestconfig: pytest.Config) -> Player:
    """Knows how rows have ended."""
    return pytestconfig.stash[PLAYER]
