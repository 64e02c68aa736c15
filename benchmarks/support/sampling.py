"""What a service does and costs over time, and the steady part of it."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

PERIOD_S = 0.04
#: Reading PSS walks the page tables under the process's own lock, so it is done at every fifth sample.
MEMORY_EVERY = 5
#: Of all calls, so many have ended before the steady part begins: caches, greenlets and heaps have grown.
WARM_UP = 0.1


class Tree(Protocol):
    """What is looked at: a ProcessTree, or several as one."""

    def look(self) -> None:
        """Find out which processes there are."""

    def cpu_s(self) -> float:
        """User and system time of all in seconds."""

    def memory_mib(self) -> float:
        """Memory of all in MiB."""


class Sample(NamedTuple):
    """One look at a service.

    Attributes:
        at_s: When, on the monotonic clock.
        done: How many calls have ended.
        cpu_s: User and system time of its processes until then.
        memory_mib: Their memory when last looked at.
    """

    at_s: float
    done: int
    cpu_s: float
    memory_mib: float


class Cost(NamedTuple):
    """What a service did and cost over an interval.

    Attributes:
        calls: How many calls ended in it.
        interval_s: Its length.
        per_s: Calls a second.
        cpu_us: Microseconds of processor time per call.
        peak_mib: The most memory seen, before the interval and after it as well.
    """

    calls: int
    interval_s: float
    per_s: float
    cpu_us: float
    peak_mib: float


def watch(
    tree: Tree, done: Callable[[], int], total: int, stalled_s: float = 30.0, more: bool = False
) -> list[Sample]:
    """Look at a service until all calls have ended.

    Args:
        tree: Its processes.
        done: Says how many calls have ended.
        total: How many there are.
        stalled_s: How long it may make no progress.
        more: Whether more are waiting; then it is looked at until so many have ended.

    Raises:
        TimeoutError: It makes no progress.
        RuntimeError: More calls ended than there are messages.
    """
    samples: list[Sample] = []
    moved_s = time.monotonic()
    memory_mib = 0.0
    while not samples or samples[-1].done < total:
        if len(samples) % MEMORY_EVERY == 0:
            tree.look()
            memory_mib = tree.memory_mib()
        # The two that are divided by each other, as close together as can be.
        sample = Sample(time.monotonic(), done(), tree.cpu_s(), memory_mib)
        if not samples or sample.done > samples[-1].done:
            moved_s = sample.at_s
        elif sample.at_s - moved_s > stalled_s:
            raise TimeoutError(f'{sample.done} of {total} calls, and none for {stalled_s} s')
        samples.append(sample)
        time.sleep(PERIOD_S)
    if samples[-1].done > total and not more:
        raise RuntimeError(f'{samples[-1].done} calls for {total} messages')
    return samples


def steady(samples: Sequence[Sample]) -> Cost:
    """The cost of the steady part: without the start, the first calls, and the wait for the last one.

    Where so few samples were taken that there is no such part, all of them count.
    """
    total = samples[-1].done
    inside = [sample for sample in samples if WARM_UP * total <= sample.done < total and sample.done]
    if len(inside) < 3:
        inside = list(samples)
    first, last = inside[0], inside[-1]
    calls, interval_s = last.done - first.done, last.at_s - first.at_s
    return Cost(
        calls=calls,
        interval_s=interval_s,
        per_s=calls / interval_s,
        cpu_us=(last.cpu_s - first.cpu_s) / calls * 1e6,
        peak_mib=max(sample.memory_mib for sample in samples),
    )
