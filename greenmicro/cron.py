"""CronEntrypoint: runs a route at the times that a cron expression names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone, tzinfo
from importlib.util import find_spec
from typing import TYPE_CHECKING

from greenmicro.entrypoints import TimeEntrypoint
from greenmicro.routes import Route

if TYPE_CHECKING:
    pass

#: A wait is never longer, in seconds: the clock on the wall may be set meanwhile.
LOOK_S = 30.0
#: What comes later than this after its time, in seconds, as after a suspend, is left out.
LATE_MOST_S = 60.0
MISSING = "CronEntrypoint needs cronsim: pip install 'greenmicro[cron]'"


class CronEntrypoint(TimeEntrypoint):
    """Runs its route at the times of a cron expression, by the clock on the wall.

    The target gets `{'tick': n, 'skipped': k, 'scheduled': time}`, the time as a datetime with its zone.
    What is due in the hour that the clocks leave out runs after it, and what is due in the hour that comes
    twice runs once, as Debian's cron does it.

    Args:
        expression: Five fields, minute to day of the week, or six, with seconds first. `*/5 * * * *` is
            every five minutes, `0 3 * * MON-FRI` three o'clock on working days.
        route: What each tick goes through.
        tz: The zone's name, as `Europe/Berlin`; UTC if none is given.
        once: `cluster`, where one of all replicas ticks, as TimeEntrypoint has it.

    Example:
        >>> CronEntrypoint('0 3 * * *', route=Route('tasks.report'), tz='Europe/Berlin', once='cluster')
    """

    def __init__(
        self, expression: str, route: Route | None = None, tz: str | None = None, once: str | None = None
    ) -> None:
        super().__init__(0.0, route, once=once)
        self.expression = expression
        self.tz = tz

    def _time_faults(self) -> Iterator[str]:
        """Yield a sentence if its times make no sense."""
        try:
            zone = _zone(self.tz)
        except (KeyError, ValueError, OSError, TypeError):
            yield f"tz: wanted the name of a time zone such as 'Europe/Berlin' or None, found {self.tz!r}"
            zone = timezone.utc
        if find_spec('cronsim') is None:
            yield MISSING
            return
        from cronsim import CronSimError

        try:
            next(_times(self.expression, datetime.now(zone)))
        except StopIteration:
            yield f'expression: {self.expression!r} names no time in the next fifty years'
        except (CronSimError, AttributeError, TypeError, ValueError) as error:
            wanted = "wanted a cron expression such as '*/5 * * * *'"
            yield f'expression: {wanted}, found {self.expression!r} ({error})'

    def _when(self) -> str:
        """Say when it ticks."""
        return f'cron {self.expression} {self.tz or "UTC"}'

    def start(self) -> None:
        """Begin to tick."""
        self.service.spawn(self._tick_for_ever)

    def _tick_for_ever(self) -> None:
        zone = _zone(self.tz)
        now = datetime.now(zone)
        while True:
            for scheduled in _times(self.expression, now):
                _sleep_until(scheduled)
                now = datetime.now(zone)
                if (now - scheduled).total_seconds() > LATE_MOST_S:
                    break  # look for the next one from here on
                self.tick(scheduled=scheduled)


def _sleep_until(moment: datetime) -> None:
    while (left_s := moment.timestamp() - time.time()) > 0:
        time.sleep(min(left_s, LOOK_S))


def _times(expression: str, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim

    times: Iterator[datetime] = CronSim(expression, after)
    return times


def _zone(name: str | None) -> tzinfo:
    if name is None:
        return timezone.utc
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)
