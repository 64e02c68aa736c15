"""What becomes of a message that may have taken its process with it, before it is run again."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from greenmicro.copies import ALONE_HEADER, MOVES_HEADER, copy_of
from greenmicro.messages import SUSPICIONS_HEADER, Failure, Message, Publication, Reason

#: How long a marked copy is waited for, in seconds, before another message may be marked; another replica
#: may have got it.
MARKED_S = 5.0
#: How long a message waits, in seconds, while another one that may have killed processes runs alone.
WAIT_S = 1.0


class Fate(enum.Enum):
    """What becomes of a delivery."""

    RUN = 'run'
    MOVE = 'to the end of its queue'
    LOST = 'run no more'


class Verdict(NamedTuple):
    """What becomes of a delivery, and the form in which it goes on.

    Attributes:
        fate: What becomes of it.
        publication: Its next form, where it is moved.
        suspicions: How many services have left it unsettled, as far as is known.
    """

    fate: Fate
    publication: Publication | None = None
    suspicions: int = 0


RUN = Verdict(Fate.RUN)


class Suspicion:
    """Counts the services that ended while they held a message, and finds out which message it was.

    Whoever finds a message that another process left unsettled cannot know whether that process ran it, and
    died of it, or held it beside the one that it died of, or was merely stopped. So the message is counted,
    and published to the end of its queue with the count, and runs like any other. On its last chance it must
    be told from its neighbours: it is marked, and runs while no other marked one is here. Only a marked
    message that comes again is run no more; what is not marked was not run, and is not counted again. Once
    it has been run to an end, failed or not, nothing is held against it any more.

    Args:
        most: At how many suspicions a message is run no more. At least two are needed, since the first may
            have any reason.
        counts: Whether its queue counts by itself what comes back, as quorum queues do. On another queue
            such a count is somebody else's, and never changes.
        holds: Says whether a message is still unsettled here.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        most: int,
        counts: bool,
        holds: Callable[[Message], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._last = max(2, most) - 1
        self._counts = counts
        self._holds = holds
        self._clock = clock
        self._alone: Message | None = None
        self._expected_until = 0.0

    def judge(self, message: Message, suspect: bool) -> Verdict:
        """Decide what becomes of a delivery.

        Args:
            message: What was delivered, and not begun.
            suspect: Whether a process may have ended with it since it was last published.
        """
        suspicions = message.suspicions
        alone = message.headers.get(ALONE_HEADER) is True
        if suspect and suspicions < self._last:
            charge = self._charge(message)
            if not charge:
                return RUN
            suspicions = min(suspicions + charge, self._last)
            return Verdict(Fate.MOVE, moved(message, {SUSPICIONS_HEADER: suspicions}), suspicions)
        if suspicions < self._last:
            return RUN
        if suspect and alone:
            return Verdict(Fate.LOST, None, suspicions + 1)
        return self._give_last_chance(message, alone)

    def _charge(self, message: Message) -> int:
        """Say how many suspicions a suspect is to be counted."""
        # From 4.3 on RabbitMQ counts apart how often a message was taken, and how often it came back rejected
        # or from who is gone: one that has the first count only was given back, and nobody ended with it.
        given_back = 0 if 'x-acquired-count' in message.headers else None
        came_back = message.headers.get('x-delivery-count', given_back)
        # A quorum queue goes on counting by itself. So the first time, a mere stop as a rule, the message may
        # keep its place; it is counted together with the second.
        if message.suspicions or self._last == 1 or not self._counts or not isinstance(came_back, int):
            return 1
        return 0 if came_back < 2 else 2

    def _give_last_chance(self, message: Message, alone: bool) -> Verdict:
        free = self._alone is None or not self._holds(self._alone)
        if alone and free:
            self._alone = message
            self._expected_until = 0.0
            return RUN
        if alone:  # at once: marked, it would be taken for the one that runs
            return Verdict(Fate.MOVE, moved(message), message.suspicions)
        if free and self._clock() >= self._expected_until:
            self._expected_until = self._clock() + MARKED_S
            return Verdict(Fate.MOVE, moved(message, {ALONE_HEADER: True}), message.suspicions)
        # It waits in the broker: here it would take the room of one that can run.
        return Verdict(Fate.MOVE, moved(message)._replace(delay_s=WAIT_S), message.suspicions)


def moved(message: Message, marks: Mapping[str, Any] | None = None) -> Publication:
    """Return a message as it goes to the end of its own queue, unrun.

    Args:
        message: The message.
        marks: Headers that it gets; it loses the mark of its last chance if that is not among them.
    """
    copy = copy_of(message)
    moves = message.headers.get(MOVES_HEADER, 0)
    headers = {key: value for key, value in copy.headers.items() if key != ALONE_HEADER}
    headers[MOVES_HEADER] = (moves if type(moves) is int else 0) % 1_000_000 + 1
    return copy._replace(headers={**headers, **(marks or {})})


def lost(suspicions: int) -> Failure:
    """Say why a message is run no more."""
    error = f'worker lost: {suspicions} times a process ended that ran it, or had it to run'
    return Failure(Reason.WORKER_LOST, error)
