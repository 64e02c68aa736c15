"""Calls from one service to another, on each kind of broker: results, errors, time-outs, many at once."""

from __future__ import annotations

import datetime
import decimal
import json
import logging
import time
import uuid
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenmicro.brokers import broker_class
from greenmicro.dependencies import Context
from greenmicro.errors import (
    BadCallError,
    CallTimeoutError,
    PayloadError,
    RemoteError,
    UnknownMethodError,
    UnknownServiceError,
)
from greenmicro.messages import Publication
from greenmicro.retry import Retry
from greenmicro.routes import Route
from greenmicro.rpc.dependencies import RPCProxy
from greenmicro.rpc.entrypoints import RPCListener
from greenmicro.rpc.protocol import EXCHANGE
from greenmicro.signals import Reject
from tests.brokers.conftest import listen, new_side
from tests.brokers.sides import Listen
from tests.fakes import settings, tasks
from tests.rpc.conftest import Ask, Serve

__all__ = ['listen', 'new_side']


def add(x: Any, y: Any = 1) -> Any:
    return x + y


def fail() -> None:
    raise ValueError('as told', 7)


def echo(value: Any) -> Any:
    return value


def test_a_call_returns_its_result(serve: Serve, ask: Ask) -> None:
    """Arguments by position and by keyword; each method by its name."""
    with tasks(add=add, echo=echo) as module:
        serve(RPCListener(Route(f'{module}.add')), RPCListener(Route(f'{module}.echo'), method='say-it'))
        assert ask(lambda shop: shop.add(1)) == 2
        assert ask(lambda shop: shop.add(x=1, y=4)) == 5
        assert ask(lambda shop: shop['say-it']('this')) == 'this'


def test_what_json_has_no_form_of_crosses(serve: Serve, ask: Ask) -> None:
    """Both ways."""
    value = [
        datetime.datetime(2026, 1, 2, 3, 4, 5),
        decimal.Decimal('1.50'),
        uuid.UUID(int=7),
        b'\x00\xff',
        None,
    ]
    with tasks(echo=echo) as module:
        serve(RPCListener(Route(f'{module}.echo')))
        assert ask(lambda shop: shop.echo(value)) == value


def test_what_a_method_raises_is_told(serve: Serve, ask: Ask) -> None:
    """With the traceback of the other side; the service goes on."""
    with tasks(fail=fail, add=add) as module:
        serve(RPCListener(Route(f'{module}.fail')), RPCListener(Route(f'{module}.add')))
        with pytest.raises(RemoteError, match='ValueError') as caught:
            ask(lambda shop: shop.fail())
        assert caught.value.exc_args == ('as told', 7)
        assert 'in fail' in caught.value.remote_traceback
        assert ask(lambda shop: shop.add(1)) == 2


@pytest.mark.parametrize(
    'call',
    [
        lambda shop: shop.add(),
        lambda shop: shop.add(1, 2, 3),
        lambda shop: shop.add(1, z=3),
    ],
)
def test_arguments_that_do_not_fit_are_refused(serve: Serve, ask: Ask, call: Any) -> None:
    """Before the method is called."""
    with tasks(add=add) as module:
        serve(RPCListener(Route(f'{module}.add')))
        with pytest.raises(BadCallError, match=r'argument'):
            ask(call)


def test_unknown_methods_and_services_are_told_apart(serve: Serve, ask: Ask) -> None:
    """And neither waits for a time-out."""
    with tasks(add=add) as module:
        serve(RPCListener(Route(f'{module}.add')), CALL_TIMEOUT_S=60)
        with pytest.raises(UnknownMethodError, match='sub'):
            ask(lambda shop: shop.sub(1))
        with pytest.raises(UnknownServiceError, match="'nobody'"):
            ask(lambda nobody: nobody.add(1), nobody=True)


def test_no_reply_in_time_is_an_error_of_its_own(serve: Serve, ask: Ask) -> None:
    """The reply that comes too late is dropped, and the next call gets its own."""
    going_on = Event()

    def wait() -> str:
        going_on.wait()
        return 'late'

    with tasks(wait=wait, add=add) as module:
        serve(RPCListener(Route(f'{module}.wait')), RPCListener(Route(f'{module}.add')))
        with pytest.raises(CallTimeoutError, match=r'shop\.wait: no reply within 0\.2 s'):
            ask(lambda shop: shop.wait.within(0.2)())
        going_on.set()
        assert ask(lambda shop: shop.add(1)) == 2


def test_a_wait_may_be_shorter_than_the_call(serve: Serve, ask: Ask) -> None:
    """The call goes on, and is waited for again."""
    going_on = Event()

    def wait() -> str:
        going_on.wait()
        return 'here'

    def twice(shop: Any) -> Any:
        call = shop.wait.call_async()
        with pytest.raises(CallTimeoutError):
            call.result(timeout_s=0.1)
        going_on.set()
        return call.result(), call.result()

    with tasks(wait=wait) as module:
        serve(RPCListener(Route(f'{module}.wait')))
        assert ask(twice) == ('here', 'here')


def test_a_thousand_calls_at_once_get_their_own_replies(serve: Serve, ask: Ask) -> None:
    """From one target, answered in any order."""

    def shuffled(number: int) -> int:
        gevent.sleep((number * 7919) % 13 / 1000)
        return number

    def all_of(shop: Any) -> list[Any]:
        calls = [shop.shuffled.call_async(number) for number in range(1_000)]
        return [call.result() for call in calls]

    with tasks(shuffled=shuffled) as module:
        serve(RPCListener(Route(f'{module}.shuffled')), MAX_WORKERS=100)
        assert ask(all_of) == list(range(1_000))


def test_what_cannot_be_sent_is_told_at_once(serve: Serve, ask: Ask) -> None:
    """And names the argument."""
    with pytest.raises(PayloadError, match=r'args\[0\] \(object\)'):
        ask(lambda shop: shop.add(object()))
    with pytest.raises(ValueError, match='timeout_s'):
        ask(lambda shop: shop.add.within(-1))


def test_a_result_that_does_not_encode_is_an_error_there(serve: Serve, ask: Ask) -> None:
    """The caller is told, and does not wait."""
    with tasks(echo=lambda: object()) as module:
        serve(RPCListener(Route(f'{module}.echo')))
        with pytest.raises(RemoteError, match='object'):
            ask(lambda shop: shop.echo())


def test_a_method_is_tried_again_as_its_route_says(serve: Serve, ask: Ask) -> None:
    """Only the last attempt is answered; what can never succeed is at once."""
    runs: list[str] = []

    def second() -> str:
        runs.append('second')
        if runs.count('second') < 2:
            raise ConnectionError('not yet')
        return 'done'

    def never() -> None:
        runs.append('never')
        raise Reject('as told')

    retry = Retry(max_attempts=3, initial_delay_s=0.1)
    with tasks(second=second, never=never) as module:
        serve(*(RPCListener(Route(f'{module}.{name}', retry=retry)) for name in ('second', 'never')))
        assert ask(lambda shop: shop.second()) == 'done'
        with pytest.raises(RemoteError, match='Reject: as told'):
            ask(lambda shop: shop.never())
    assert runs == ['second', 'second', 'never']


@pytest.mark.parametrize(
    ('key', 'body', 'reason'),
    [
        ('fail', b'{"args": [], "kwargs": {}}', 'target error'),
        ('nothing', b'{"args": [], "kwargs": {}}', 'no such method'),
        ('fail', b'[]', 'arguments do not fit'),
        ('fail', b'{', 'undecodable body'),
    ],
)
def test_who_asks_for_no_reply_costs_a_dead_letter(
    serve: Serve, listen: Listen, uri: str, key: str, body: bytes, reason: str
) -> None:
    """Nobody could be told; nothing is lost."""
    with tasks(fail=fail) as module:
        serve(RPCListener(Route(f'{module}.fail')))
        publish(uri, Publication('nameko-rpc', f'shop.{key}', body, {'content_type': 'application/json'}))
        letter = listen('rpc-shop.dead', exchange=None).next()
    assert letter.body == body
    assert letter.headers['greenmicro.reason'] == reason
    assert letter.headers['greenmicro.origin_routing_key'] == f'shop.{key}'


def publish(uri: str, publication: Publication) -> None:
    """Publish as somebody else."""
    broker = broker_class(uri)(settings(AMQP_URI=uri))
    broker.start(lambda error: None)
    broker.wait_ready()
    broker.publish(publication)
    broker.close(5)


def test_a_listener_says_what_is_wrong_with_it() -> None:
    """Before anything starts."""
    shop = settings()
    assert list(RPCListener(Route('tasks.add')).faults(shop)) == []
    assert list(RPCListener(Route('tasks.add'), method='a.b').faults(shop)) == [
        "method: wanted a name without a dot, or None, found 'a.b'"
    ]
    assert any('bytes' in fault for fault in RPCListener(Route('tasks.add'), method='m' * 255).faults(shop))


def test_a_method_is_one_listeners_alone() -> None:
    """Two of them would each answer a part of the calls."""
    shop = settings()
    first, second = RPCListener(Route('tasks.add')), RPCListener(Route('others.add'))
    assert first.claim(shop) == second.claim(shop) == 'RPC method shop.add'
    assert first.claim(shop) != RPCListener(Route('tasks.add'), method='plus').claim(shop)


def test_the_log_says_that_the_caller_was_told(
    serve: Serve, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed call is no dead letter."""
    caplog.set_level(logging.INFO)
    with tasks(fail=fail) as module:
        serve(RPCListener(Route(f'{module}.fail')))
        with pytest.raises(RemoteError):
            ask(lambda shop: shop.fail())
    assert 'told to the caller: ValueError' in caplog.text
    assert f'on       rpc shop.fail -> {module}.fail' in caplog.text


def test_a_reply_is_what_nameko_reads(serve: Serve, listen: Listen, uri: str) -> None:
    """By the routing key that the request names."""
    with tasks(add=add) as module:
        serve(RPCListener(Route(f'{module}.add')))
        replies = listen('mine', exchange=EXCHANGE, routing_key='the-key')
        properties = {'content_type': 'application/json', 'reply_to': 'the-key', 'correlation_id': 'seven'}
        publish(uri, Publication('nameko-rpc', 'shop.add', b'{"args": [1], "kwargs": {}}', properties))
        reply = replies.next()
    assert json.loads(reply.body) == {'result': 2, 'error': None}
    assert reply.properties['correlation_id'] == 'seven'


def test_the_context_goes_from_call_to_call(serve: Serve, ask: Ask) -> None:
    """Chain, data and deadline, through a service in between."""

    def outer(context: Any, back: Any) -> Any:
        context.headers['tenant'] = 7
        return [context.call_id_stack, *back.inner()]

    def inner(context: Any) -> Any:
        return context.call_id_stack, context.headers, context.deadline

    with tasks(outer=outer, inner=inner) as module:
        context = {'context': Context()}
        serve(
            RPCListener(Route(f'{module}.outer', dependencies={**context, 'back': RPCProxy('shop')})),
            RPCListener(Route(f'{module}.inner', dependencies=context)),
        )
        now = time.time()
        first, second, headers, deadline = ask(lambda shop: shop.outer.within(12)())
    assert [call_id.rpartition('.')[0] for call_id in second] == ['asker.run', 'shop.outer', 'shop.inner']
    assert second[:2] == first
    assert headers == {'tenant': 7}
    assert now + 10 < deadline < now + 14
