"""Which message killed its processes, as far as can be told from how it comes back."""

from typing import Any

import pytest

from greenmicro.brokers.rabbitmq.crashes import ALONE_HEADER, MARKED_S, Fate, Suspicion, Verdict, moved
from greenmicro.messages import CRASHES_HEADER, Message, Publication

ALONE = {CRASHES_HEADER: 2, ALONE_HEADER: True}
LAST = {CRASHES_HEADER: 2}


def message(**headers: Any) -> Message:
    return Message(b'{}', {'message_id': 'm'}, headers, 'shop.events', 'order', 'q', redelivered=True)


class Held:
    """A consumer's suspicion, by a clock of its own, and what it holds."""

    def __init__(self, most: int = 3) -> None:
        self.now = 0.0
        self.held: list[Message] = []
        self._suspicion = Suspicion(most, lambda message: message in self.held, lambda: self.now)

    def judge(self, suspect: bool = False, **headers: Any) -> Verdict:
        came = message(**headers)
        verdict = self._suspicion.judge(came, suspect)
        if verdict.fate is Fate.RUN:
            self.held.append(came)
        return verdict


def sent(verdict: Verdict) -> Publication:
    assert verdict.publication is not None
    return verdict.publication


def test_what_nobody_died_of_is_run() -> None:
    """Whatever its count, as long as it is not its last chance."""
    assert Held().judge().fate is Fate.RUN
    assert Held().judge(**{CRASHES_HEADER: 1}).fate is Fate.RUN


def test_a_suspect_is_counted_and_goes_to_the_end() -> None:
    """As it was published, and as another message than before."""
    verdict = Held().judge(True, mine=1, **{CRASHES_HEADER: 1})
    assert (verdict.fate, verdict.crashes) == (Fate.MOVE, 2)
    copy = sent(verdict)
    assert (copy.exchange, copy.routing_key, copy.mandatory) == ('', 'q', True)
    assert copy.headers[CRASHES_HEADER] == 2
    assert copy.headers['mine'] == 1
    assert ALONE_HEADER not in copy.headers


@pytest.mark.parametrize(('came_back', 'crashes'), [(1, 0), (2, 2), (7, 2)])
def test_a_quorum_queue_counts_the_first_time_itself(came_back: int, crashes: int) -> None:
    """The message keeps its place then, and is counted for both the next time."""
    verdict = Held().judge(True, **{'x-delivery-count': came_back})
    assert verdict.fate is (Fate.MOVE if crashes else Fate.RUN)
    assert verdict.crashes == crashes


def test_with_a_limit_of_two_the_first_time_counts_on_a_quorum_queue() -> None:
    """There is none to spare."""
    verdict = Held(2).judge(True, **{'x-delivery-count': 1})
    assert (verdict.fate, verdict.crashes) == (Fate.MOVE, 1)


def test_the_last_chance_is_given_to_one_at_a_time() -> None:
    """It is marked first; the others wait until it is settled."""
    held = Held()
    marked = held.judge(**LAST)
    assert marked.fate is Fate.MOVE
    assert sent(marked).headers[ALONE_HEADER] is True
    assert held.judge(**LAST).fate is Fate.WAIT, 'the marked one is on its way'
    assert held.judge(**ALONE).fate is Fate.RUN
    assert held.judge(**LAST).fate is Fate.WAIT, 'it runs'
    another = held.judge(**ALONE)
    assert another.fate is Fate.MOVE, "another process's"
    assert ALONE_HEADER not in sent(another).headers
    held.held.clear()
    assert ALONE_HEADER in sent(held.judge(**LAST)).headers


def test_a_mark_that_does_not_come_back_is_given_up() -> None:
    """Another replica may have got the message."""
    held = Held()
    held.judge(**LAST)
    held.now = MARKED_S
    assert ALONE_HEADER in sent(held.judge(**LAST)).headers


def test_who_comes_back_from_its_last_chance_is_dead_lettered() -> None:
    """The letter says how often, and is not marked."""
    verdict = Held().judge(True, **ALONE)
    assert (verdict.fate, verdict.crashes) == (Fate.BURY, 3)
    letter = sent(verdict)
    assert letter.routing_key == 'q.dead'
    assert letter.headers[CRASHES_HEADER] == 3
    assert letter.headers['greenmicro.reason'] == 'worker lost'
    assert '3 times' in letter.headers['greenmicro.error']
    assert ALONE_HEADER not in letter.headers


def test_who_comes_back_while_it_waited_for_its_last_chance_is_not_counted() -> None:
    """It was not run: it waits on."""
    assert Held().judge(True, **LAST).fate is Fate.MOVE
    assert sent(Held().judge(True, **LAST)).headers[CRASHES_HEADER] == 2


def test_a_limit_of_one_is_one_of_two() -> None:
    """By one death the killer cannot be told from its neighbours."""
    assert Held(1).judge(True).fate is Fate.MOVE
    assert Held(1).judge(True, **{CRASHES_HEADER: 1, ALONE_HEADER: True}).fate is Fate.BURY


def test_no_two_copies_are_the_same() -> None:
    """Or the second might be taken for a redelivery of the first."""
    first = moved(message())
    second = moved(message(**first.headers))
    assert first.headers != second.headers
    assert moved(message(**{'greenmicro.moves': 'forged'})).headers['greenmicro.moves'] == 1
