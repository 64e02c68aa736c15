"""Hosts of AMQP_URI: which one is tried next, and when."""

from __future__ import annotations

import time
from collections import deque
from urllib.parse import unquote, urlsplit

from greenmicro.brokers.rabbitmq.backoff import REFUSED_RETRY_S, backoff

PORTS = {'amqp': 5672, 'amqps': 5671}


class Host:
    """One host, and how the last tries to connect to it went.

    Args:
        uri: Where it is.
        longest_s: The longest delay between two tries, in seconds.

    Attributes:
        address: Its name and port, for logs.
        due: When it is tried next, by the monotonic clock.
    """

    def __init__(self, uri: str, longest_s: float) -> None:
        parts = urlsplit(uri)
        name = parts.hostname or 'localhost'
        self.uri = uri
        self.address = f'{f"[{name}]" if ":" in name else name}:{parts.port or PORTS[parts.scheme]}'
        self.who = f'user {unquote(parts.username or "guest")!r} on virtual host {_vhost(parts.path)!r}'
        self._longest_s = longest_s
        self._delays = backoff(longest_s)
        self._state = ''
        self.due = 0.0

    def reset(self) -> None:
        """Forget what was; it may be tried at once."""
        self._delays = backoff(self._longest_s)
        self._state = ''
        self.due = 0.0

    def note(self, state: str, refused: bool) -> bool:
        """Note why a try failed; return whether that is a change."""
        self.due = time.monotonic() + (REFUSED_RETRY_S if refused else next(self._delays))
        changed, self._state = state != self._state, state
        return changed


def _vhost(path: str) -> str:
    return unquote(path.removeprefix('/')) or '/'


class Hosts:
    """All of them, in turn: each is tried at once, and again only after a delay of its own.

    Args:
        uris: With `;` between.
        longest_s: The longest delay between two tries of one host, in seconds.
    """

    def __init__(self, uris: str, longest_s: float) -> None:
        self._hosts = deque(Host(uri, longest_s) for uri in uris.split(';'))

    def reset(self) -> None:
        """Begin anew, after a connection was lost, with the host after the one that it was."""
        for host in self._hosts:
            host.reset()

    def next(self) -> tuple[Host, float]:
        """Return which one is due first, and in how many seconds."""
        host = min(self._hosts, key=lambda one: one.due)
        self._hosts.remove(host)
        self._hosts.append(host)
        return host, max(0.0, host.due - time.monotonic())
