"""Jobs in children: outcomes, signals, processes that targets start."""

import os
import signal
import sys
from pathlib import Path

import pytest

from greenmicro.amqp.dependencies import Producer
from greenmicro.messages import SUCCEEDED, Message, Outcome, Reason
from tests.pools.processes.parts import TIMEOUT_S, MakePool, Published, Recorder, message, succeeded

pytestmark = pytest.mark.usefixtures('measured')


def test_a_result_is_dropped_where_nobody_waits_for_it(start: MakePool) -> None:
    entrypoint = Recorder('jobs.pid', replies=False)
    start(entrypoint).submit(entrypoint, message())
    assert entrypoint.wait_for(1) == [SUCCEEDED]


@pytest.mark.parametrize('target', ['jobs.fail', 'jobs.leave'])
def test_what_a_target_raises_is_a_failure_told_as_text(start: MakePool, target: str) -> None:
    failing, other = Recorder(target), Recorder('jobs.pid')
    pool = start(failing, other)
    for _ in range(2):
        pool.submit(failing, message('why'))
        pool.submit(other, message())
    outcomes = failing.wait_for(2)
    assert [outcome.failure.reason for outcome in outcomes if outcome.failure] == [Reason.TARGET] * 2
    assert 'why' in outcomes[0].failure.error  # type: ignore[union-attr]
    assert 'jobs.py' in outcomes[0].failure.traceback  # type: ignore[union-attr]
    assert len(set(other.results(2))) == 1


def test_bodies_of_20_megabytes_cross_both_ways(start: MakePool, published: Published) -> None:
    size, large = Recorder('jobs.size'), Recorder('jobs.large')
    sender = Recorder('jobs.publish', dependencies={'producer': Producer()})
    pool = start(size, large, sender)
    body = b'x' * 20_000_000
    pool.submit(size, Message(body, {'content_type': 'application/octet-stream'}))
    pool.submit(large, message(len(body)))
    pool.submit(sender, message('y' * len(body)))
    assert size.results(1) == [len(body)]
    assert large.results(1) == ['x' * len(body)]
    assert published.wait_for() == ['y' * len(body)]


def test_children_ignore_what_process_groups_and_cgroups_get(start: MakePool) -> None:
    entrypoint = Recorder('jobs.signalled', dependencies={'producer': Producer()})
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    [pid] = entrypoint.results(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    pool.submit(entrypoint, message())
    assert entrypoint.results(2) == [pid, pid]


def test_programs_that_a_target_starts_can_be_terminated(start: MakePool) -> None:
    entrypoint = Recorder('jobs.end_program')
    start(entrypoint).submit(entrypoint, message())
    assert entrypoint.results(1) == [-signal.SIGTERM]


def test_a_process_forked_by_a_target_neither_answers_nor_publishes(
    start: MakePool, published: Published
) -> None:
    entrypoint = Recorder('jobs.fork_and_return', dependencies={'producer': Producer()})
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    pool.submit(entrypoint, message())
    assert entrypoint.results(2) == [256, 256]
    assert published.all == []


def test_a_message_that_cannot_cross_fails(start: MakePool) -> None:
    entrypoint = Recorder('jobs.pid')
    pool = start(entrypoint)
    pool.submit(entrypoint, message()._replace(headers={'odd': lambda: None}))
    pool.submit(entrypoint, message())
    odd, fine = entrypoint.wait_for(2)
    assert odd.failure is not None
    assert odd.failure.reason == Reason.UNREADABLE
    succeeded(fine)


def test_an_entrypoint_that_fails_to_settle_costs_no_child(
    start: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    class Unsettled(Recorder):
        def finished(self, message: Message, outcome: Outcome) -> None:
            super().finished(message, outcome)
            raise ValueError('not settled')

    entrypoint = Unsettled('jobs.pid')
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    pool.submit(entrypoint, message())
    assert len(set(entrypoint.results(2))) == 1
    assert pool.wait_idle(TIMEOUT_S)
    assert 'not settled' in caplog.text


def test_an_outcome_that_cannot_leave_the_child_is_a_failure(folder: Path, start: MakePool) -> None:
    (folder / 'own.py').write_text(
        'from greenmicro import Worker\n'
        'from greenmicro.messages import Outcome\n'
        'class Thing: pass\n'
        'class Odd(Worker):\n'
        '    def run(self, message):\n'
        '        kind = super().run(message).result[0]\n'
        '        if kind == b\'"raise"\': raise SystemExit\n'
        '        if kind == b\'"none"\': return None\n'
        '        return Outcome(True, None, {b\'"local"\': lambda: None, b\'"own"\': Thing()}[kind])\n'
    )
    import own  # type: ignore[import-not-found]

    entrypoint = Recorder('own_target.echo', worker_class=own.Odd)
    (folder / 'own_target.py').write_text('def echo(payload): return payload\n')
    pool = start(entrypoint)
    for kind in ('local', 'own', 'raise', 'none'):
        pool.submit(entrypoint, message(kind))
    reasons = [outcome.failure and outcome.failure.reason for outcome in entrypoint.wait_for(4)]
    assert reasons == [Reason.RESULT, Reason.RESULT, Reason.TARGET, Reason.TARGET]
    sys.modules.pop('own')
