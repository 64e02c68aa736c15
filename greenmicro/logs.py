"""What a log record says of the message that is being worked on, and its form in JSON."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from greenmicro.dependencies import CURRENT
from greenmicro.settings import Settings

#: What every record has; everything else was given by `extra`, or by the filter.
_USUAL = frozenset((*vars(logging.makeLogRecord({})), 'message', 'asctime', 'taskName'))
#: Of a record's own values these are always in its JSON form, after time, level, logger and message.
OF_THE_CALL = ('service', 'entrypoint', 'call_id', 'message_id')


class ContextFilter(logging.Filter):
    """Puts `service`, `entrypoint`, `call_id` and `message_id` on each record; '-' where there is none.

    Targets' records have them all, also those of the libraries that they use; the service's own, and those
    of threads that a target starts, have the service only. It belongs on handlers: what is on a logger does
    not see the records of the loggers below.

    Args:
        service: The service's name.

    Example:
        >>> handler.addFilter(ContextFilter('orders'))
        >>> handler.setFormatter(logging.Formatter('%(asctime)s %(call_id)s %(message)s'))
    """

    def __init__(self, service: str = '-') -> None:
        super().__init__()
        self.service = service

    def filter(self, record: logging.LogRecord) -> bool:
        """Add to a record; it always passes."""
        context = CURRENT.get()
        if context is None:
            record.service, record.entrypoint = self.service, '-'
            record.call_id = record.message_id = '-'
        else:
            record.service, record.entrypoint = context.service, context.entrypoint
            record.call_id, record.message_id = context.call_id, context.message.message_id or '-'
        return True


class JSONFormatter(logging.Formatter):
    """Writes a record as one line of JSON.

    The keys are `time` (ISO 8601, UTC), `level`, `logger`, `message`, those of the ContextFilter, `exception`
    and `stack` where there are any, and what was given by `extra`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        values: dict[str, Any] = {
            'time': datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec='milliseconds'),
            'level': record.levelname,
            'logger': record.name,
            'message': record.getMessage(),
        }
        for name in OF_THE_CALL:
            if (value := getattr(record, name, '-')) != '-':
                values[name] = value
        if record.exc_info:
            values['exception'] = self.formatException(record.exc_info)
        if record.stack_info:
            values['stack'] = self.formatStack(record.stack_info)
        for name, value in vars(record).items():
            if name not in _USUAL and name not in OF_THE_CALL:
                values.setdefault(name, value)
        return json.dumps(values, ensure_ascii=False, default=repr)


def set_up(settings: Settings) -> None:
    """Give the root logger's handlers the form that LOG_FORMAT says; `text` leaves them as they are.

    Runs in the service's process before anything is logged, and in each child once main.py has run there.
    """
    if settings.log_format == 'text':
        return
    logging.basicConfig(level=logging.INFO)  # only if main.py has not set anything up
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JSONFormatter())
        handler.addFilter(ContextFilter(settings.service_name))
