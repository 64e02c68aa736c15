"""Letter: what is known of a message in a dead queue, and its form when it goes back to work."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from greenmicro.copies import OF_THE_QUEUE, ORIGIN_EXCHANGE, ORIGIN_ROUTING_KEY
from greenmicro.dead_letters import DEAD_SUFFIX, dead_queue_name
from greenmicro.messages import ATTEMPT_HEADER, Publication

#: Has the property bytes of a message that could not be read.
UNREADABLE = 'greenmicro.properties'
#: Of ours only these go back: the consumer restores exchange and routing key from the first two; by the time
#: of its death it can tell the message from itself before, whose ack may have been lost.
_KEPT = (ORIGIN_EXCHANGE, ORIGIN_ROUTING_KEY, 'greenmicro.time')
#: Nor is, to work, what tells of how it died: the broker drops what it takes for going in circles.
_OF_DEATH = ('greenmicro.', 'x-death', 'x-first-death-', 'x-last-death-')


class Letter(NamedTuple):
    """A message in a dead queue; one that we did not write says less of itself.

    Attributes:
        queue: The dead queue.
        body: The body.
        properties: AMQP basic properties by name, headers aside.
        headers: The application headers.
        tag: By which the broker knows it on its channel.
    """

    queue: str
    body: bytes
    properties: Mapping[str, Any]
    headers: Mapping[Any, Any]
    tag: int = 0

    @property
    def reason(self) -> str:
        """Why it is here, in a word or two; '' when nobody says."""
        return self._text('greenmicro.reason') or self._text('x-first-death-reason')

    @property
    def error(self) -> str:
        """The error's class and message; '' when nobody says."""
        return self._text('greenmicro.error')

    @property
    def traceback(self) -> str:
        """The traceback; '' where there is none."""
        return self._text('greenmicro.traceback')

    @property
    def host(self) -> str:
        """Where it failed; '' when nobody says."""
        return self._text('greenmicro.host')

    @property
    def attempts(self) -> int | None:
        """How many attempts it had."""
        count = self.headers.get(ATTEMPT_HEADER)
        return count if type(count) is int else None

    @property
    def time(self) -> datetime | None:
        """When it failed, in UTC."""
        seconds = self.headers.get('greenmicro.time')
        try:
            return datetime.fromtimestamp(seconds, timezone.utc) if type(seconds) is int else None
        except (ValueError, OverflowError, OSError):
            return None  # anyone can write a header

    @property
    def message_id(self) -> str:
        """The sender's id of the message; '' if it gave none."""
        return str(self.properties.get('message_id', ''))

    @property
    def origin(self) -> str:
        """The queue that it goes back to; '' when nobody says."""
        return self._text('greenmicro.origin_queue') or self.queue.removesuffix(DEAD_SUFFIX)

    @property
    def unreadable(self) -> bool:
        """Whether its properties could not be read: then it has lost them, and what it meant by them."""
        return UNREADABLE in self.headers

    @property
    def given_back(self) -> int:
        """How often a quorum queue has had it back, listings included."""
        count = self.headers.get('x-delivery-count')
        return count if type(count) is int else 0

    def back(self) -> Publication:
        """Return it as it goes back to its work queue: as it was sent, its attempts counted anew.

        The user id stays behind: the broker refuses one that is not the connection's own.
        """
        return self._publication(self.origin, _KEPT, _OF_DEATH)

    def renewed(self) -> Publication:
        """Return it as it goes to the end of its own queue, which then counts its give-backs anew."""
        return self._publication(self.queue)

    def summary(self) -> dict[str, Any]:
        """Return what there is to say of it in a row, for JSON."""
        return {
            'message_id': self.message_id or None,
            'reason': self.reason or None,
            'error': self.error or None,
            'attempts': self.attempts,
            'time': self.time.isoformat() if self.time else None,
            'origin_queue': self.origin,
            'body_bytes': len(self.body),
        }

    def details(self) -> dict[str, Any]:
        """Return all there is to say of it, for JSON."""
        try:
            body = {'body': self.body.decode()}
        except UnicodeDecodeError:
            body = {'body_base64': base64.b64encode(self.body).decode()}
        headers = {str(key): value for key, value in self.headers.items()}
        about = {'host': self.host or None, 'traceback': self.traceback or None}
        return {**self.summary(), **about, 'properties': dict(self.properties), 'headers': headers, **body}

    def _publication(self, queue: str, kept: tuple[str, ...] = (), left: tuple[str, ...] = ()) -> Publication:
        headers = {
            key: value
            for key, value in self.headers.items()
            if key in kept or not (key in OF_THE_QUEUE or str(key).startswith(left))
        }
        properties = {key: value for key, value in self.properties.items() if key != 'user_id'}
        return Publication('', queue, self.body, {**properties, 'delivery_mode': 2}, headers, mandatory=True)

    def _text(self, header: str) -> str:
        value = self.headers.get(header, '')
        return value if isinstance(value, str) else ''


def dead_queue_of(name: str) -> str:
    """Return the name of the dead queue that is meant by its own name or by its work queue's."""
    return name if name.endswith(DEAD_SUFFIX) else dead_queue_name(name)
