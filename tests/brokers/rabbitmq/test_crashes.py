"""Which message killed its processes, as far as can be told from how it comes back."""

from typing import Any

import pytest

from greenmicro.brokers.rabbitmq.crashes import MARKED_S, WAIT_S, Fate, Suspicion, Verdict, lost, moved
from greenmicro.copies import ALONE_HEADER
from greenmicro.messages import SUSPICIONS_HEADER, Message, Publication, Reason

ALONE = {SUSPICIONS_HEADER: 2, ALONE_HEADER: True}
LAST = {SUSPICIONS_HEADER: 2}


def message(**headers: Any) -> Message:
    return Message(b'{}', {'message_id': 'm'}, headers, 'shop.events', 'order', 'q', redelivered=True)


class Held:
    """A consumer's suspicion, by a clock of its own, and what it holds."""

    def __init__(self, most: int = 3, *, quorum: bool = False) -> None:
        self.now = 0.0
        self.held: list[Message] = []
        self._suspicion = Suspicion(most, quorum, lambda message: message in self.held, lambda: self.now)

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
    assert Held().judge(**{SUSPICIONS_HEADER: 1}).fate is Fate.RUN


def test_a_suspect_is_counted_and_goes_to_the_end() -> None:
    """As it was published, and as another message than before."""
    verdict = Held().judge(True, mine=1, **{SUSPICIONS_HEADER: 1})
    assert (verdict.fate, verdict.suspicions) == (Fate.MOVE, 2)
    copy = sent(verdict)
    assert (copy.exchange, copy.routing_key, copy.mandatory) == ('', 'q', True)
    assert copy.headers[SUSPICIONS_HEADER] == 2
    assert copy.headers['mine'] == 1
    assert ALONE_HEADER not in copy.headers


@pytest.mark.parametrize(('came_back', 'suspicions'), [(1, 0), (2, 2), (7, 2)])
def test_a_quorum_queue_counts_the_first_time_itself(came_back: int, suspicions: int) -> None:
    """The message keeps its place then, and is counted for both the next time."""
    verdict = Held(quorum=True).judge(True, **{'x-delivery-count': came_back})
    assert verdict.fate is (Fate.MOVE if suspicions else Fate.RUN)
    assert verdict.suspicions == suspicions


@pytest.mark.parametrize(('came_back', 'suspicions'), [({}, 0), ({'x-delivery-count': 2}, 2)])
def test_what_was_merely_given_back_is_no_suspect(came_back: dict[str, int], suspicions: int) -> None:
    """RabbitMQ 4.3 counts apart how often a message was taken, and how often its consumer was gone."""
    verdict = Held(quorum=True).judge(True, **{'x-acquired-count': 3, **came_back})
    assert verdict.suspicions == suspicions


@pytest.mark.parametrize('count', [-1, 0, 1, 2, 'many'])
def test_the_count_of_another_queue_is_not_heeded(count: object) -> None:
    """A classic queue never changes it: who heeded it would run a killer for ever."""
    verdict = Held().judge(True, **{'x-delivery-count': count})
    assert (verdict.fate, verdict.suspicions) == (Fate.MOVE, 1)


def test_with_a_limit_of_two_the_first_time_counts_on_a_quorum_queue() -> None:
    """There is none to spare."""
    verdict = Held(2, quorum=True).judge(True, **{'x-delivery-count': 1})
    assert (verdict.fate, verdict.suspicions) == (Fate.MOVE, 1)


def test_the_last_chance_is_given_to_one_at_a_time() -> None:
    """It is marked first; the others wait until it is settled."""
    held = Held()
    marked = held.judge(**LAST)
    assert marked.fate is Fate.MOVE
    assert sent(marked).headers[ALONE_HEADER] is True
    assert sent(marked).delay_s is None
    assert sent(held.judge(**LAST)).delay_s == WAIT_S, 'the marked one is on its way'
    assert held.judge(**ALONE).fate is Fate.RUN
    assert sent(held.judge(**LAST)).delay_s == WAIT_S, 'it runs'
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


def test_who_comes_back_from_its_last_chance_is_run_no_more() -> None:
    """It is told how often that was."""
    verdict = Held().judge(True, **ALONE)
    assert verdict == (Fate.LOST, None, 3)
    assert lost(3).reason == Reason.WORKER_LOST
    assert '3 times' in lost(3).error


def test_who_comes_back_while_it_waited_for_its_last_chance_is_not_counted() -> None:
    """It was not run: it waits on."""
    assert Held().judge(True, **LAST).fate is Fate.MOVE
    assert sent(Held().judge(True, **LAST)).headers[SUSPICIONS_HEADER] == 2


def test_a_limit_of_one_is_one_of_two() -> None:
    """By one death the killer cannot be told from its neighbours."""
    assert Held(1).judge(True).fate is Fate.MOVE
    assert Held(1).judge(True, **{SUSPICIONS_HEADER: 1, ALONE_HEADER: True}).fate is Fate.LOST


def test_no_two_copies_are_the_same() -> None:
    """Or the second might be taken for a redelivery of the first."""
    first = moved(message())
    second = moved(message(**first.headers))
    assert first.headers != second.headers
    assert moved(message(**{'greenmicro.moves': 'forged'})).headers['greenmicro.moves'] == 1
