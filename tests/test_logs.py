"""Log records that tell which message they are of, and their form in JSON."""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenmicro.dependencies import CURRENT, WorkerContext
from greenmicro.logs import ContextFilter, JSONFormatter, set_up
from tests import fakes
from tests.support.program import Program


def record(text: str = 'text %d', *args: object, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {'name': 'a.b', 'levelname': 'INFO', 'msg': text, 'args': args or (7,), **fields}
    )


def written(given: logging.LogRecord) -> dict[str, object]:
    return dict(json.loads(JSONFormatter().format(given)))


def test_a_record_of_no_message_has_the_service_only() -> None:
    """A format that names the others must not fail."""
    given = record()
    assert contextvars.Context().run(ContextFilter('shop').filter, given)
    assert (given.service, given.entrypoint, given.call_id, given.message_id) == ('shop', '-', '-', '-')  # type: ignore[attr-defined]


def test_a_record_of_a_target_tells_its_message() -> None:
    """Also one of a library that the target calls."""
    message = fakes.message({}, properties={'message_id': 'm-1'})
    context = WorkerContext(message, 'the entrypoint', fakes.settings(), [].append, method='work')

    def filtered() -> logging.LogRecord:
        CURRENT.set(context)
        given = record()
        ContextFilter().filter(given)
        return given

    values = written(contextvars.Context().run(filtered))
    assert values['service'] == 'shop'
    assert values['entrypoint'] == 'the entrypoint'
    assert values['call_id'] == context.call_id
    assert values['message_id'] == 'm-1'


def test_a_line_is_one_json_object() -> None:
    """With the text put together, and what `extra` gives."""
    values = written(record('a\n%s "b"', 'ü', order=7, thing=object))
    assert values['message'] == 'a\nü "b"'
    assert (values['level'], values['logger'], values['order']) == ('INFO', 'a.b', 7)
    assert values['thing'] == "<class 'object'>"
    assert str(values['time']).endswith('+00:00')
    assert 'call_id' not in values


def test_an_exception_is_in_it() -> None:
    """As text."""
    try:
        raise ValueError('as told')
    except ValueError as error:
        given = record(exc_info=(type(error), error, error.__traceback__), stack_info='the stack')
    values = written(given)
    assert str(values['exception']).endswith('ValueError: as told')
    assert values['stack'] == 'the stack'


@pytest.fixture
def handler() -> Iterator[logging.Handler]:
    """A handler of the root logger."""
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_text_leaves_logging_alone(handler: logging.Handler) -> None:
    """It is the program's."""
    set_up(fakes.settings())
    assert handler.formatter is None
    assert not handler.filters


MAIN = """\
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.entrypoints import TimeEntrypoint
config = {{'AMQP_URI': 'memory://', 'SERVICE_NAME': 'shop', 'WORKER_MODE': {mode!r}, 'LOG_FORMAT': 'json'}}
if __name__ == '__main__':
    Runner([TimeEntrypoint(600, Route('tasks.work'), eager=True)], config).start()
"""
TASKS = """\
import logging
def work(payload):
    logging.getLogger('mine').warning('working')
"""


@pytest.mark.parametrize('mode', ['thread', 'process'])
def test_a_service_logs_json(tmp_path: Path, mode: str) -> None:
    """Its own lines and those of targets, wherever they run; no set-up of logging is needed."""
    (tmp_path / 'main.py').write_text(MAIN.format(mode=mode))
    (tmp_path / 'tasks.py').write_text(TASKS)
    with Program(tmp_path) as program:
        program.wait_for('working')
        assert program.stop() == 0
        lines = [json.loads(line) for line in program.output.splitlines()]
    (working,) = (line for line in lines if line['message'] == 'working')
    assert working['call_id'].startswith('shop.work.')
    assert working['entrypoint'] == 'TimeEntrypoint -> tasks.work'
    assert {line['service'] for line in lines} == {'shop'}
