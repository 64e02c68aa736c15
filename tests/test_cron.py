"""CronEntrypoint: when it ticks, what its target gets, and what is refused at start."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from gevent.event import AsyncResult

from greenmicro.cron import CronEntrypoint
from greenmicro.entrypoints import Entrypoint, TimeEntrypoint
from greenmicro.routes import Route
from greenmicro.runner import Runner
from tests.brokers.conftest import uri
from tests.fakes import settings, tasks

__all__ = ['uri']

EVERY_SECOND = '* * * * * *'


@pytest.mark.parametrize('tz', [None, 'Asia/Tokyo'])
def test_it_ticks_at_its_times(tz: str | None) -> None:
    """The target gets the time, in the zone that was named."""
    got: AsyncResult[Any] = AsyncResult()
    with tasks(work=lambda payload: got.set((payload, datetime.now(timezone.utc)))) as module:
        entrypoint = CronEntrypoint(EVERY_SECOND, Route(f'{module}.work'), tz=tz)
        with Runner([entrypoint], {'AMQP_URI': 'memory://', 'SERVICE_NAME': 'shop'}):
            payload, now = got.get(timeout=10)
    scheduled = payload['scheduled']
    assert scheduled.microsecond == 0
    assert timedelta(0) <= now - scheduled < timedelta(seconds=5)
    assert scheduled.utcoffset() == timedelta(hours=9 if tz else 0)
    assert (payload['tick'], payload['skipped']) == (1, 0)


@pytest.mark.parametrize(
    ('entrypoint', 'fault'),
    [
        (
            CronEntrypoint('61 * * * *', Route('t.w')),
            'expression: wanted a cron expression such as',
        ),
        (CronEntrypoint('often', Route('t.w')), 'expression: wanted a cron expression such as'),
        (CronEntrypoint(5, Route('t.w')), 'expression: wanted a cron expression such as'),  # type: ignore[arg-type]
        (CronEntrypoint(EVERY_SECOND, Route('t.w'), tz='Mars/North'), 'tz: wanted the name of a time zone'),
        (CronEntrypoint(EVERY_SECOND, Route('t.w'), tz=7), 'tz: wanted the name of a time zone'),  # type: ignore[arg-type]
        (CronEntrypoint(EVERY_SECOND, Route('t.w'), tz='../etc'), 'tz: wanted the name of a time zone'),
        (
            CronEntrypoint(EVERY_SECOND, Route('t.w'), once='host'),
            "once: wanted 'cluster' or None, found",
        ),
        (TimeEntrypoint(1.0, Route('t.w'), once='host'), "once: wanted 'cluster' or None, found"),
    ],
)
def test_each_fault_is_one_sentence(entrypoint: Entrypoint, fault: str) -> None:
    """It says what was wanted and what was found."""
    (only,) = entrypoint.faults(settings())
    assert only.startswith(fault)


def test_a_good_one_has_no_faults() -> None:
    """And says when it ticks."""
    entrypoint = CronEntrypoint('0 3 * * MON-FRI', Route('t.w'), tz='Europe/Berlin', once='cluster')
    assert list(entrypoint.faults(settings())) == []
    assert entrypoint.describe() == 'cron 0 3 * * MON-FRI Europe/Berlin, once in the cluster -> t.w'
    assert entrypoint.claim(settings()) == 'queue once-shop.w'


def test_one_of_all_replicas_ticks(uri: str) -> None:
    """When it ends, another one takes over."""
    ticks: list[str] = []
    changed: AsyncResult[None] = AsyncResult()

    def start(name: str) -> Runner:
        def work(payload: Any) -> None:
            ticks.append(name)
            if len(set(ticks)) == 2:
                changed.set(None)

        with tasks(work=work) as module:
            config = {'AMQP_URI': uri, 'SERVICE_NAME': 'shop', 'RECONNECT_MAX_S': 0.1}
            entrypoint = TimeEntrypoint(0.02, Route(f'{module}.work'), once='cluster')
            return Runner([entrypoint], config).__enter__()

    first = start('first')
    second = start('second')
    try:
        begun: AsyncResult[None] = AsyncResult()
        while len(ticks) < 20:
            begun.wait(0.01)
        assert set(ticks) == {'first'}
    finally:
        first.__exit__(None, None, None)
    try:
        changed.get(timeout=15)
        assert ticks == sorted(ticks)
    finally:
        second.__exit__(None, None, None)
