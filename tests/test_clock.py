"""The clock: multiples of the interval from its start, whatever a tick takes."""

from __future__ import annotations

import pytest

from greenmicro import clock


class EndedError(Exception):
    """Ends a clock that ticks for ever."""


class FakeTime:
    """A monotonic clock that only sleeps and ticks move on; in place of `time` and of `gevent`.

    Args:
        ticks: After so many it ends.
        takes: Seconds that each tick takes, by its number.
        late: Seconds that each sleep takes too long; may be negative, as timers may come early.
    """

    def __init__(self, ticks: int, takes: dict[int, float] | None = None, late: float = 0.0) -> None:
        self.now = 1_000.0
        self.ticks, self.takes, self.late = ticks, takes or {}, late
        self.ticked: list[float] = []
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += max(0.0, seconds + self.late)

    def tick(self) -> None:
        self.ticked.append(round(self.now - 1_000.0, 6))
        if len(self.ticked) == self.ticks:
            raise EndedError
        self.now += self.takes.get(len(self.ticked), 0.0)


def run(
    monkeypatch: pytest.MonkeyPatch, fake: FakeTime, interval_s: float = 1.0, eager: bool = False
) -> FakeTime:
    monkeypatch.setattr(clock, 'time', fake)
    monkeypatch.setattr(clock, 'gevent', fake)
    with pytest.raises(EndedError):
        clock.tick_for_ever(interval_s, fake.tick, eager)
    return fake


@pytest.mark.parametrize(('eager', 'ticked'), [(False, [1.0, 2.0, 3.0]), (True, [0.0, 1.0, 2.0])])
def test_it_ticks_at_the_multiples(eager: bool, ticked: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """From one interval on, or at once."""
    assert run(monkeypatch, FakeTime(3), eager=eager).ticked == ticked


def test_what_a_tick_is_late_does_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a thousand late sleeps and slow ticks the last is no later than the first."""
    fake = FakeTime(1_000, dict.fromkeys(range(1_000), 0.3), late=0.2)
    assert run(monkeypatch, fake).ticked[-1] == pytest.approx(1_000.2)


def test_a_short_interval_does_not_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second, whose multiples no float holds, ten thousand times."""
    fake = run(monkeypatch, FakeTime(10_000), interval_s=0.1)
    assert fake.ticked[-1] == pytest.approx(1_000.0)
    assert len(set(fake.ticked)) == 10_000


def test_missed_multiples_are_one_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that was blocked from 1 to 4.5 makes up for 2, 3 and 4 once, at once, and goes on at 5."""
    assert run(monkeypatch, FakeTime(5, {1: 3.5})).ticked == [1.0, 4.5, 5.0, 6.0, 7.0]


def test_a_tick_that_comes_just_in_time_is_not_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick that takes one interval exactly is followed by the next multiple."""
    assert run(monkeypatch, FakeTime(4, {1: 1.0})).ticked == [1.0, 2.0, 3.0, 4.0]


def test_a_timer_that_comes_early_does_not_tick_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each multiple has one tick, though the clock reads a little less."""
    fake = run(monkeypatch, FakeTime(4, late=-0.001))
    assert fake.ticked == [0.999, 1.999, 2.999, 3.999]


def test_it_never_sleeps_a_negative_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a tick took."""
    assert min(run(monkeypatch, FakeTime(5, {1: 100.0, 2: 7.5})).slept) == 0.0


def test_an_eager_tick_that_takes_long_is_followed_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The multiples missed during the first are one tick too."""
    assert run(monkeypatch, FakeTime(3, {1: 2.5}), eager=True).ticked == [0.0, 2.5, 3.0]


def test_it_runs_on_the_real_clock() -> None:
    """Ten ticks of two milliseconds take at least ten intervals, and come in order."""
    import time

    began, ticks = time.monotonic(), []

    def tick() -> None:
        ticks.append(time.monotonic() - began)
        if len(ticks) == 10:
            raise EndedError

    with pytest.raises(EndedError):
        clock.tick_for_ever(0.002, tick, eager=False)
    assert ticks == sorted(ticks)
    assert ticks[-1] >= 0.019
