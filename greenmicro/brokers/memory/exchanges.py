"""MemoryExchange: which queues a routing key leads to, by the rules of AMQP's exchange types."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from greenmicro.amqp.topology import Exchange
from greenmicro.brokers.memory.queues import MemoryQueue

#: How many routing keys are remembered with their queues; keys may hold ids, so they never end.
ROUTES_LIMIT = 2_000


def topic_matches(pattern: str, routing_key: str) -> bool:
    """Say whether a routing key fits a topic pattern: `*` is one word, `#` any number, none included."""
    wanted, words = _words(pattern), _words(routing_key)
    at = word = 0
    last_any, resume = -1, 0
    while word < len(words):
        if at < len(wanted) and wanted[at] == '#':
            last_any, resume = at, word
            at += 1
        elif at < len(wanted) and wanted[at] in ('*', words[word]):
            at += 1
            word += 1
        elif last_any >= 0:
            # No fit from here: let the last `#` stand for one word more, and try again behind it.
            resume += 1
            at, word = last_any + 1, resume
        else:
            return False
    return all(rest == '#' for rest in wanted[at:])


def _words(text: str) -> list[str]:
    return text.split('.') if text else []


#: Exchange type to whether a binding key takes a routing key.
KINDS: dict[str, Callable[[str, str], bool]] = {
    'topic': topic_matches,
    'direct': lambda binding_key, routing_key: binding_key == routing_key,
    'fanout': lambda binding_key, routing_key: True,
}


class MemoryExchange:
    """One exchange with its bindings.

    Args:
        declaration: Its name and kind.
    """

    def __init__(self, declaration: Exchange) -> None:
        self.declaration = declaration
        self._matches = KINDS[declaration.kind]
        self._bindings: dict[tuple[str, MemoryQueue], None] = {}
        self._routes: dict[str, Sequence[MemoryQueue]] = {}

    def __repr__(self) -> str:
        return f'<MemoryExchange {self.declaration.name!r}, {len(self._bindings)} bindings>'

    def bind(self, queue: MemoryQueue, binding_key: str) -> None:
        """Have a queue fed with what fits a binding key."""
        self._bindings[binding_key, queue] = None
        self._routes.clear()

    def unbind(self, queue: MemoryQueue) -> bool:
        """Feed a queue no more; return whether the exchange goes with it, having lost its last one."""
        kept = {binding: None for binding in self._bindings if binding[1] is not queue}
        if len(kept) == len(self._bindings):
            return False
        self._bindings = kept
        self._routes.clear()
        return self.declaration.auto_delete and not kept

    def route(self, routing_key: str) -> Sequence[MemoryQueue]:
        """Return the queues that a routing key leads to, each once."""
        queues = self._routes.get(routing_key)
        if queues is None:
            if len(self._routes) >= ROUTES_LIMIT:
                self._routes.clear()
            matches = self._matches
            found = {queue: None for key, queue in self._bindings if matches(key, routing_key)}
            queues = self._routes[routing_key] = tuple(found)
        return queues
