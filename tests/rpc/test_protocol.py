"""Requests and replies as nameko writes and reads them, and what they mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenmicro.errors import (
    ArgumentsError,
    BadCallError,
    PayloadError,
    RemoteError,
    RPCError,
    UnknownMethodError,
)
from greenmicro.messages import Failure, Message, Reason, Reply, arguments_json
from greenmicro.rpc import protocol

ASKED = Message(b'', {'reply_to': 'the-key', 'correlation_id': 'seven', 'content_type': 'application/json'})
JSON = {'content_type': 'application/json', 'content_encoding': 'utf-8'}


def reply(payload: Any) -> Reply:
    return Reply(json.dumps(payload).encode(), JSON)


def failure(reason: str, error: BaseException) -> Failure:
    return Failure.of(reason, error)._replace(arguments=arguments_json(error))


def told(failed: Failure) -> dict[str, Any]:
    """The error of a reply."""
    body = json.loads(protocol.error_reply(ASKED, failed).body)
    assert body['result'] is None
    return dict(body['error'])


def test_a_request_is_namekos() -> None:
    """Mandatory, with nothing in its body but the arguments."""
    made = protocol.request('shop', 'price', ('apple',), {'currency': 'EUR'})
    assert (made.exchange, made.routing_key, made.mandatory) == ('nameko-rpc', 'shop.price', True)
    assert json.loads(made.body) == {'args': ['apple'], 'kwargs': {'currency': 'EUR'}}


def test_arguments_that_do_not_encode_are_named() -> None:
    """As the caller knows them."""
    with pytest.raises(PayloadError, match=r'^args\[1\] \(object\)'):
        protocol.request('shop', 'price', (1, object()), {})
    with pytest.raises(PayloadError, match=r"^kwargs\['of'\] \(object\)"):
        protocol.request('shop', 'price', (), {'of': object()})


def test_the_queue_of_replies_goes_when_nobody_reads_it() -> None:
    """After five minutes, as nameko's."""
    queue = protocol.reply_queue('shop', 'the-key')
    assert queue.name == 'rpc.reply-shop-the-key'
    assert queue.durable
    assert queue.arguments == {'x-expires': 300_000}


def test_arguments_are_taken_out_of_a_request() -> None:
    """Positional and by keyword."""
    assert protocol.arguments_of({'args': [1], 'kwargs': {'y': 2}}) == ((1,), {'y': 2})


@pytest.mark.parametrize(
    ('payload', 'found'),
    [
        ([], 'found a list'),
        (None, 'found a NoneType'),
        ({'args': []}, 'without kwargs'),
        ({'kwargs': {}}, 'without args'),
        ({'args': {}, 'kwargs': {}}, 'with args a dict'),
        ({'args': [], 'kwargs': []}, 'with kwargs a list'),
    ],
)
def test_a_request_of_another_form_is_malformed(payload: Any, found: str) -> None:
    """It says what was wanted and what was found."""
    with pytest.raises(ArgumentsError, match=rf'wanted \{{"args": \[...\], .*, {found}$') as caught:
        protocol.arguments_of(payload)
    assert caught.value.kind == 'malformed'


def test_a_result_goes_to_who_asked() -> None:
    """With the caller's correlation id; nobody need be there."""
    made = protocol.result_reply(ASKED, (b'{"n": 1}', 'application/json', 'utf-8'))
    assert (made.exchange, made.routing_key, made.mandatory) == ('nameko-rpc', 'the-key', False)
    assert made.properties['correlation_id'] == 'seven'
    assert json.loads(made.body) == {'result': {'n': 1}, 'error': None}
    asked = Message(b'', {'reply_to': 'the-key'})
    assert 'correlation_id' not in protocol.result_reply(asked, (b'1', '', '')).properties


def test_an_error_is_told_as_nameko_tells_it() -> None:
    """And with a traceback."""
    error = told(failure(Reason.TARGET, ValueError('no such thing', 7)))
    assert error['exc_type'] == 'ValueError'
    assert error['exc_path'] == 'builtins.ValueError'
    assert error['exc_args'] == ['no such thing', 7]
    assert error['value'] == "('no such thing', 7)"
    assert 'ValueError' in error['traceback']


@pytest.mark.parametrize(
    ('failed', 'path', 'text'),
    [
        (failure(Reason.ARGUMENTS, ArgumentsError('malformed', 'text')), 'MalformedRequest', 'text'),
        (failure(Reason.ARGUMENTS, ArgumentsError('signature', 'text')), 'IncorrectSignature', 'text'),
        (
            failure(Reason.UNDECODABLE, PayloadError('text')),
            'MalformedRequest',
            'greenmicro.errors.PayloadError: text',
        ),
        (Failure(Reason.NO_METHOD, 'prize'), 'MethodNotFound', 'prize'),
    ],
)
def test_what_is_wrong_with_a_request_is_told_in_namekos_names(failed: Failure, path: str, text: str) -> None:
    """Its callers know them as classes."""
    error = told(failed)
    assert error['exc_path'] == f'nameko.exceptions.{path}'
    assert error['exc_type'] == path
    assert text.endswith(error['exc_args'][0])


def test_a_failure_without_an_exception_is_told_by_its_reason() -> None:
    """A worker process that died raised nothing."""
    error = told(Failure(Reason.WORKER_LOST, 'worker lost: killed by SIGKILL'))
    assert error['exc_type'] == 'worker lost'
    assert error['value'] == error['exc_args'][0] == 'worker lost: killed by SIGKILL'


def test_a_result_is_read() -> None:
    """Whatever it is; None is one too."""
    assert protocol.result_of(reply({'result': [1], 'error': None}), 1000) == [1]
    assert protocol.result_of(reply({'result': None, 'error': None}), 1000) is None


@pytest.mark.parametrize(
    ('path', 'kind'),
    [
        ('nameko.exceptions.MethodNotFound', UnknownMethodError),
        ('nameko.exceptions.IncorrectSignature', BadCallError),
        ('nameko.exceptions.MalformedRequest', BadCallError),
        ('os.system', RemoteError),
    ],
)
def test_an_error_class_comes_from_a_list(path: str, kind: type[RPCError]) -> None:
    """It is never imported."""
    error = {
        'exc_type': path.rpartition('.')[2],
        'exc_path': path,
        'exc_args': ['the text'],
        'value': 'the text',
    }
    with pytest.raises(kind, match='the text') as caught:
        protocol.result_of(reply({'result': None, 'error': error}), 1000)
    assert type(caught.value) is kind


def test_a_remote_error_tells_all_that_is_known() -> None:
    """Class, arguments, text and traceback of the other side."""
    error = told(failure(Reason.TARGET, KeyError('apple')))
    with pytest.raises(RemoteError) as caught:
        protocol.result_of(reply({'result': None, 'error': error}), 10_000)
    assert str(caught.value) == "KeyError: 'apple'"
    assert (caught.value.exc_type, caught.value.exc_path) == ('KeyError', 'builtins.KeyError')
    assert caught.value.exc_args == ('apple',)
    assert 'KeyError' in caught.value.remote_traceback


@pytest.mark.parametrize('error', ['a text', {}, {'exc_args': 7}, {'exc_path': ['x']}, 7])
def test_an_error_of_any_form_is_a_remote_error(error: Any) -> None:
    """A peer may write what it likes."""
    with pytest.raises(RemoteError):
        protocol.result_of(reply({'result': None, 'error': error}), 1000)


@pytest.mark.parametrize('body', [b'', b'[]', b'{"result": 1}', b'\xff'])
def test_a_reply_that_is_none_is_an_error(body: bytes) -> None:
    """The caller is told, and nothing else happens."""
    with pytest.raises(RPCError, match='reply'):
        protocol.result_of(Reply(body, JSON), 1000)


def test_arguments_of_an_exception_cross_as_far_as_json_goes() -> None:
    """The rest as text; long ones are cut."""
    error = ValueError(1, None, 'text', {'a': [1]}, object, float('nan'), 'x' * 2_000, '\ud800')
    args = json.loads(arguments_json(error))
    assert args[:4] == [1, None, 'text', {'a': [1]}]
    assert args[4:6] == ["<class 'object'>", 'nan']
    assert len(args[6]) == 1_000
    assert args[7] == '\\ud800'
