"""Together: the cells of a row share a node, and meet for what is done to it."""

from collections.abc import Callable

from gevent.event import AsyncResult


class Together:
    """Has an action done once when all cells have asked for it, so that rows read as if each were alone.

    Args:
        parties: how many cells take part.
    """

    def __init__(self, parties: int) -> None:
        self.parties = parties
        self._waiting: list[tuple[Callable[[], object], AsyncResult[None]]] = []

    def __call__(self, action: Callable[[], object]) -> None:
        """Wait for the other cells, then have the action done by one of them; raises what it raised."""
        done: AsyncResult[None] = AsyncResult()
        self._waiting.append((action, done))
        self._act_if_complete()
        done.get()

    def leave(self) -> None:
        """Take part no longer; the others are not to wait for a cell that has failed."""
        self.parties -= 1
        self._act_if_complete()

    def _act_if_complete(self) -> None:
        if not self._waiting or len(self._waiting) < self.parties:
            return
        waiting, self._waiting = self._waiting, []
        try:
            waiting[0][0]()
        except Exception as error:
            for _, done in waiting:
                done.set_exception(error)
        else:
            for _, done in waiting:
                done.set(None)
