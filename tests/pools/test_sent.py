"""Sent: what a child has, what has ended of it, and what is taken back."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greenmicro.messages import NOT_RUN, SUCCEEDED
from greenmicro.pipe import dumps
from greenmicro.pools.base import Job
from greenmicro.pools.sent import MOST_BYTES, MOST_JOBS, MOST_S, Done, Sent
from greenmicro.progress import How, Progress
from tests.fakes import Recorder, message

ENTRYPOINT = Recorder()


def job(number: int = 0) -> Job:
    return Job(ENTRYPOINT, message(number))


def sent(count: int) -> tuple[Sent, Progress, list[Job]]:
    """What a child has that was sent so many jobs, numbered from 1."""
    progress = Progress()
    made, jobs = Sent(progress), [job(number) for number in range(count)]
    for one in jobs:
        made.add(one, 0.0, 1)
    return made, progress, jobs


def test_what_has_ended_is_collected_in_its_order() -> None:
    """Once; what is still running, or was not begun, stays."""
    line, progress, jobs = sent(4)
    for number in (1, 2):
        progress.start(number)
        progress.finish(number, How.SUCCEEDED, 0.5)
    progress.start(3)
    assert line.collect() == ([Done(jobs[0], SUCCEEDED, 0.5), Done(jobs[1], SUCCEEDED, 0.5)], [])
    assert line.collect() == ([], [])
    assert line.running is not None
    assert line.running.job == jobs[2]
    assert [entry.job for entry in line.line] == jobs[2:]


def test_an_outcome_that_is_on_its_way_is_waited_for() -> None:
    """With what has ended after it."""
    line, progress, jobs = sent(2)
    progress.finish(1, How.TOLD)
    progress.finish(2, How.SUCCEEDED)
    assert line.collect() == ([], [])
    line.tell(1, dumps(tuple(NOT_RUN)))
    done, unrun = line.collect()
    assert [(one.job, one.outcome) for one in done] == [(jobs[0], NOT_RUN), (jobs[1], SUCCEEDED)]
    assert unrun == []


def test_a_job_that_the_child_did_not_start_is_none_that_it_has_done() -> None:
    line, progress, jobs = sent(1)
    progress.finish(1, How.UNRUN)
    assert line.collect() == ([], jobs)


def test_nothing_runs_between_two_jobs() -> None:
    line, progress, _ = sent(2)
    assert line.running is None
    progress.start(1)
    progress.finish(1, How.SUCCEEDED)
    line.collect()
    assert line.running is None


def test_there_is_room_for_so_much_work_so_many_bytes_and_so_many_jobs() -> None:
    line = Sent(Progress())
    assert line.has_room(MOST_S, MOST_BYTES)
    assert not line.has_room(MOST_S * 1.01, 0)
    assert not line.has_room(0, MOST_BYTES + 1)
    line.add(job(), MOST_S / 2, MOST_BYTES // 2)
    assert line.has_room(MOST_S / 2, MOST_BYTES // 2)
    assert not line.has_room(MOST_S * 0.51, 0)
    assert not line.has_room(0, MOST_BYTES // 2 + 1)
    for _ in range(MOST_JOBS - 1):
        assert line.has_room(0, 0)
        line.add(job(), 0, 0)
    assert not line.has_room(0, 0)


def test_what_has_ended_makes_room() -> None:
    line, progress = Sent(Progress()), Progress()
    line = Sent(progress)
    for _ in range(3):
        line.add(job(), MOST_S / 3, 1)
    for number in (1, 2, 3):
        progress.finish(number, How.SUCCEEDED)
    line.collect()
    assert line.has_room(MOST_S, MOST_BYTES)


def test_what_waits_behind_a_job_that_goes_on_is_back_at_the_third_look() -> None:
    """The job itself is not; and until it ends nothing more may wait there."""
    line, progress, jobs = sent(4)
    progress.start(1)
    assert [line.look(), line.look()] == [[], []]
    assert not line.has_room(0, 0)
    assert line.look() == jobs[1:]
    assert [entry.job for entry in line.line] == jobs[:1]
    assert not any(progress.start(number) for number in (2, 3, 4))
    assert not line.has_room(0, 0)
    progress.finish(1, How.SUCCEEDED)
    line.collect()
    assert line.has_room(0, 0)
    assert progress.start(line.add(job(), 0, 0))


def test_what_was_started_before_the_child_saw_the_recall_is_its_own() -> None:
    line, progress, jobs = sent(4)
    progress.start(1)
    line.look()
    line.look()
    progress.finish(1, How.SUCCEEDED)
    progress.start(2)
    line.collect()
    assert line.look() == jobs[2:]
    assert [entry.job for entry in line.line] == [jobs[1]]


def test_what_runs_is_its_own_though_the_outcome_before_it_is_on_its_way() -> None:
    line, progress, jobs = sent(4)
    progress.finish(1, How.TOLD)
    progress.start(2)
    line.look()
    line.look()
    assert line.collect() == ([], [])
    assert line.look() == jobs[2:]
    assert [entry.job for entry in line.line] == jobs[:2]


def test_a_child_that_gets_on_keeps_what_it_has() -> None:
    line, progress, _ = sent(5)
    for number in range(1, 6):
        progress.start(number)
        assert line.look() == []
        progress.finish(number, How.SUCCEEDED)
        line.collect()
    assert not line.line


def test_one_job_alone_is_never_recalled() -> None:
    line, progress, _ = sent(1)
    for _ in range(5):
        assert line.look() == []
    assert progress.start(1)


class Recalls(RuleBasedStateMachine):
    """A service and a child, in every order of their steps: each job is run once."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress()
        self.sent = Sent(self.progress)
        self.pipe: list[tuple[int, Job]] = []
        self.on_its_way: list[int] = []
        self.running: tuple[int, Job] | None = None
        self.ran: list[Job] = []
        self.done: list[Job] = []
        self.waiting: list[Job] = []
        self.made = 0

    @rule(back=st.booleans())
    def send(self, back: bool) -> None:
        """Send what came back, or something new."""
        if self.sent.line and not self.sent.has_room(0, 0):
            return
        if back and self.waiting:
            one = self.waiting.pop(0)
        else:
            self.made += 1
            one = job(self.made)
        self.pipe.append((self.sent.add(one, 0, 0), one))

    @precondition(lambda self: self.running is None and self.pipe)
    @rule()
    def begin(self) -> None:
        """The child takes the next job up."""
        number, one = self.pipe.pop(0)
        if self.progress.start(number):
            self.running = number, one
            self.ran.append(one)
        else:
            self.progress.finish(number, How.UNRUN)

    @precondition(lambda self: self.running is not None)
    @rule(told=st.booleans())
    def end(self, told: bool) -> None:
        """The child ends it."""
        assert self.running is not None
        number, _ = self.running
        self.running = None
        self.progress.finish(number, How.TOLD if told else How.SUCCEEDED)
        if told:
            self.on_its_way.append(number)

    @precondition(lambda self: self.on_its_way)
    @rule()
    def tell(self) -> None:
        """An outcome comes out of the pipe."""
        self.sent.tell(self.on_its_way.pop(0), dumps(tuple(NOT_RUN)))

    @rule()
    def look(self) -> None:
        """The service looks."""
        self.collect()
        self.waiting += self.sent.look()

    @rule()
    def collect(self) -> None:
        """The service collects."""
        done, unrun = self.sent.collect()
        self.done += [one.job for one in done]
        self.waiting += unrun

    @invariant()
    def each_is_in_one_place(self) -> None:
        """No job is lost, and none is run twice."""
        held = [*self.done, *self.waiting, *(entry.job for entry in self.sent.line)]
        assert sorted(id(one.message) for one in held) == sorted({id(one.message) for one in held})
        assert len(held) == self.made
        assert len({id(one.message) for one in self.ran}) == len(self.ran)

    def teardown(self) -> None:
        """In the end each was run, or is back."""
        while self.running or self.pipe:
            self.end(False) if self.running else self.begin()
        while self.on_its_way:
            self.tell()
        self.collect()
        assert not self.sent.line
        assert {id(one.message) for one in self.done} == {id(one.message) for one in self.ran}


TestRecalls = Recalls.TestCase
TestRecalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
