"""Coroutines and generators: they are refused, however they are wrapped."""

from __future__ import annotations

import pytest

from greenmicro.targets import resolve
from tests.targets.faults import Write, fault

ASYNC = """
    import functools, types
    async def coroutine(payload): ...
    async def agen(payload): yield
    def generator(payload): yield
    @types.coroutine
    def old(payload): yield
    part = functools.partial(functools.partial(coroutine), 1)
    @functools.wraps(coroutine)
    def decorated(payload): return coroutine(payload)
    @functools.wraps(generator)
    def wrapped(payload): return generator(payload)
    class Call:
        async def __call__(self, payload): ...
        def method(self, payload): yield
    instance, method = Call(), Call().method
    part_of_instance = functools.partial(instance)
    @functools.wraps(coroutine)
    def adapter(payload): ...
    del adapter.__wrapped__
"""


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('coroutine', 'a coroutine function:'),
        ('old', 'a coroutine function:'),
        ('agen', 'an async generator function:'),
        ('generator', 'a generator function:'),
        ('part', 'a coroutine function underneath:'),
        ('decorated', 'a coroutine function underneath:'),
        ('wrapped', 'a generator function underneath:'),
        ('instance', 'a coroutine function:'),
        ('method', 'a generator function:'),
        ('part_of_instance', 'a coroutine function underneath:'),
    ],
)
def test_coroutines_and_generators_are_refused(write: Write, name: str, kind: str) -> None:
    """Their call would run nothing and look like a success; however they are wrapped."""
    write('gm_async.py', ASYNC)
    found = fault(f'gm_async.{name}')
    assert found.startswith(f"target 'gm_async.{name}' is {kind} targets are plain functions")


def test_an_adapter_that_runs_its_coroutine_can_say_so(write: Write) -> None:
    """A decorator's function without `__wrapped__` is taken as the plain function that it is."""
    write('gm_adapter.py', ASYNC)
    assert resolve('gm_adapter.adapter')
