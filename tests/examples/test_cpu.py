"""CPU-bound work in child processes."""

import re

from tests.examples import EXAMPLES
from tests.support.program import Program

JOB = re.compile(r'job (\d+) +13848 primes in ([\d.]+) s, process (\d+)')


def test_jobs_run_side_by_side_and_the_service_stays_responsive():
    """Two children share the jobs, at the same time, and no tick is late by as much as a job takes."""
    with Program(EXAMPLES / 'cpu', environment={'GREENMICRO_MAX_WORKERS': '2'}, measured=False) as program:
        service = program.pid
        assert program.wait(300) == 0
        assert program.survivors() == []
    jobs = JOB.findall(program.output)
    durations = [float(took) for _, took, _ in jobs]
    children = {int(pid) for _, _, pid in jobs}
    assert sorted(int(number) for number, _, _ in jobs) == list(range(1, 13))
    assert len(children) == 2
    assert service not in children
    assert {int(pid) for pid in re.findall(r'tick \d+ +process (\d+)', program.output)} <= children
    wall_s = float(re.search(r'12 jobs in ([\d.]+) s with', program.output)[1])
    # Not by their CPU time, which other programs on this machine take away: by how long they lasted.
    assert sum(durations) > 1.3 * wall_s
    latest_ms = int(re.search(r'ticks of the service, the latest (\d+) ms late', program.output)[1])
    assert latest_ms < 1000 * min(durations)
