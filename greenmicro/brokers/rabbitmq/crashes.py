"""What becomes of a message that may have taken its process with it, before it is run again."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from greenmicro.copies import copy_of
from greenmicro.dead_letters import dead_letter
from greenmicro.messages import CRASHES_HEADER, Failure, Message, Publication, Reason

#: On a message that is on its last chance: from where it is delivered with this mark it is run, and no
#: other one with it.
ALONE_HEADER = 'greenmicro.alone'
#: How often a message was published to the end of its queue unrun. Each such copy has to differ from the one
#: before: it might else be taken for that one's redelivery.
MOVES_HEADER = 'greenmicro.moves'
#: How long a marked copy is waited for, in seconds, before another message may be marked; another replica
#: may have got it.
MARKED_S = 5.0


class Fate(enum.Enum):
    """What becomes of a delivery."""

    RUN = 'run'
    MOVE = 'to the end of its queue'
    WAIT = 'to the end of its queue, a little later'
    BURY = 'dead letter'


class Verdict(NamedTuple):
    """What becomes of a delivery, and the form in which it goes on.

    Attributes:
        fate: What becomes of it.
        publication: Its next form; None where it is run.
        crashes: How often a process has ended with it, as far as is known.
    """

    fate: Fate
    publication: Publication | None = None
    crashes: int = 0


RUN = Verdict(Fate.RUN)


class Suspicion:
    """Counts the processes that ended while they held a message, and finds out which message it was.

    Whoever finds a message that another process left unsettled cannot know whether that process ran it, and
    died of it, or held it beside the one that it died of, or was merely stopped. So the message is counted,
    and published to the end of its queue with the count, and runs like any other. On its last chance it must
    be told from its neighbours: it is marked, and runs while no other marked one is here. Only a marked
    message that comes again is dead-lettered; what is not marked was not run, and is not counted again.

    Args:
        most: At how many crashes a message is dead-lettered. At least two are needed, since the first only
            raises suspicion.
        holds: Says whether a message is still unsettled here.
        clock: Monotonic seconds.
    """

    def __init__(
        self, most: int, holds: Callable[[Message], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._last = max(2, most) - 1
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
        crashes = message.crashes
        alone = message.headers.get(ALONE_HEADER) is True
        if suspect and crashes < self._last:
            charge = self._charge(message)
            if not charge:
                return RUN
            crashes = min(crashes + charge, self._last)
            return Verdict(Fate.MOVE, moved(message, {CRASHES_HEADER: crashes}), crashes)
        if crashes < self._last:
            return RUN
        if suspect and alone:
            return Verdict(Fate.BURY, _letter(message), crashes + 1)
        return self._give_last_chance(message, alone)

    def _charge(self, message: Message) -> int:
        """Say how many crashes a suspect is to be counted."""
        came_back = message.headers.get('x-delivery-count')
        # A quorum queue goes on counting by itself. So the first time, a mere stop as a rule, the message may
        # keep its place; it is counted together with the second.
        if message.crashes or self._last == 1 or not isinstance(came_back, int):
            return 1
        return 0 if came_back < 2 else 2

    def _give_last_chance(self, message: Message, alone: bool) -> Verdict:
        free = self._alone is None or not self._holds(self._alone)
        if alone and free:
            self._alone = message
            self._expected_until = 0.0
            return RUN
        if alone:  # at once: marked, it would be taken for the one that runs
            return Verdict(Fate.MOVE, moved(message), message.crashes)
        if free and self._clock() >= self._expected_until:
            self._expected_until = self._clock() + MARKED_S
            return Verdict(Fate.MOVE, moved(message, {ALONE_HEADER: True}), message.crashes)
        return Verdict(Fate.WAIT, moved(message), message.crashes)


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


def _letter(message: Message) -> Publication:
    headers = {key: value for key, value in message.headers.items() if key != ALONE_HEADER}
    error = f'worker lost: {message.crashes + 1} times a process ended that ran it, or had it to run'
    return dead_letter(message._replace(headers=headers), Failure(Reason.WORKER_LOST, error))
