"""MessageTranslator: what a payload passes through between its decoding and the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenmicro.dependencies import WorkerContext


class MessageTranslator:
    """Turns one payload into another; chained in a route, each is fed the last one's result.

    Bodies are decoded by their content type before the first translator sees them. An instance is
    shared by all workers of its route in one process, so it keeps nothing of a message on itself. In
    process modes it is pickled once, at start.

    Example:
        >>> class Lowercase(MessageTranslator):
        ...     def translate(self, payload, context):
        ...         return {key.lower(): value for key, value in payload.items()}
        >>> Lowercase().translate({'Name': 'Ada'}, context=None)
        {'name': 'Ada'}
    """

    def translate(self, payload: Any, context: WorkerContext) -> Any:
        """Return what the next translator, or the target, gets.

        Args:
            payload: The decoded body, or what the translator before this one returned.
            context: The message and the place it runs in.

        Raises:
            Exception: Anything; the message has then failed, with the reason `translator error`.

        Runs in: the worker (a greenlet of the service, or a child process).
        """
        return payload
