"""Producer: what it publishes, and what it refuses to."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from greenmicro.amqp.dependencies import PROPERTIES, Producer
from greenmicro.dependencies import WorkerContext
from greenmicro.errors import PayloadError, UnroutableError
from greenmicro.messages import Publication
from tests.fakes import message, settings


class Published(list[Publication]):
    """Keeps what is published; raises what it is told to."""

    error: Exception | None = None

    def __call__(self, publication: Publication) -> None:
        if self.error is not None:
            raise self.error
        self.append(publication)


def producing(published: Published) -> Any:
    came = message(headers={'nameko.language': 'de', 'nameko.call_id_stack': ['web.get.1']})
    context = WorkerContext(came, 'the entrypoint', settings(), published, method='work')
    provided = iter(Producer().provide(context))
    return next(provided)


def test_an_event_goes_to_the_services_own_exchange() -> None:
    """As nameko sends it, and with an id and a time."""
    published, before = Published(), int(time.time())
    producing(published)('order_placed', {'id': 1})
    (sent,) = published
    assert (sent.exchange, sent.routing_key, sent.body) == ('shop.events', 'order_placed', b'{"id":1}')
    properties = dict(sent.properties)
    assert uuid.UUID(properties.pop('message_id')).version == 4
    assert before <= properties.pop('timestamp') <= time.time()
    assert properties == {
        'content_type': 'application/json',
        'content_encoding': 'utf-8',
        'delivery_mode': 2,
        'priority': 0,
    }
    assert not sent.mandatory
    headers = dict(sent.headers)
    first, second = headers.pop('nameko.call_id_stack')
    assert (first, second.rpartition('.')[0]) == ('web.get.1', 'shop.work')
    assert headers == {'nameko.language': 'de'}


def test_options_reach_the_broker() -> None:
    """Headers, mandatory, and any AMQP property, also in place of our own."""
    published = Published()
    producing(published)('e', 1, headers={'tenant': 7}, mandatory=True, message_id='m-1', expiration='500')
    (sent,) = published
    assert (sent.headers['tenant'], sent.headers['nameko.language'], sent.mandatory) == (7, 'de', True)
    assert (sent.properties['message_id'], sent.properties['expiration']) == ('m-1', '500')


def test_each_event_has_an_id_of_its_own() -> None:
    """By which a consumer can tell that it came twice."""
    published = Published()
    produce = producing(published)
    produce('e', 1)
    produce('e', 1)
    assert len({sent.properties['message_id'] for sent in published}) == 2


@pytest.mark.parametrize('event_name', ['', None, 3, b'e'])
def test_an_event_without_a_name_is_refused(event_name: Any) -> None:
    """It says what was found."""
    with pytest.raises(TypeError, match='event_name: wanted a text, found'):
        producing(Published())(event_name, {})


def test_a_misspelt_property_is_refused() -> None:
    """It would be dropped without a word, and the message never expire."""
    with pytest.raises(TypeError, match=r'expires: wanted one of app_id, .*expiration'):
        producing(Published())('e', {}, expires='500')


def test_the_properties_are_amqps() -> None:
    """All of them, headers aside."""
    from amqp.basic_message import Message

    assert {name for name, _ in Message.PROPERTIES} == PROPERTIES | {'application_headers'}


def test_a_payload_that_cannot_be_encoded_is_not_sent() -> None:
    """The target gets the error."""
    published = Published()
    with pytest.raises(PayloadError):
        producing(published)('e', {'what': object()})
    assert not published


def test_what_the_broker_refuses_reaches_the_target() -> None:
    """Nothing is swallowed."""
    published = Published()
    published.error = UnroutableError('nobody listens')
    with pytest.raises(UnroutableError):
        producing(published)('e', {}, mandatory=True)


def test_a_delayed_event_is_held_by_the_broker() -> None:
    """It is published at once, with its delay; without one there is none."""
    published = Published()
    producing(published)('e', 1, delay_s=90)
    producing(published)('e', 1, delay_s=0)
    producing(published)('e', 1)
    assert [sent.delay_s for sent in published] == [90, None, None]


def test_an_event_may_have_a_deadline_of_its_own() -> None:
    """Until when it has to be confirmed; without one it is that of the settings."""
    published = Published()
    producing(published)('e', 1, timeout_s=0.5)
    producing(published)('e', 1)
    assert [sent.timeout_s for sent in published] == [0.5, None]


@pytest.mark.parametrize(('expiration_s', 'written'), [(0, '0'), (1.5, '1500'), (86_400, '86400000')])
def test_an_expiration_is_given_in_seconds(expiration_s: float, written: str) -> None:
    """And written in milliseconds, as AMQP has it."""
    published = Published()
    producing(published)('e', 1, expiration_s=expiration_s)
    assert published[0].properties['expiration'] == written


@pytest.mark.parametrize(
    ('options', 'error', 'told'),
    [
        ({'delay_s': -1}, ValueError, 'delay_s: wanted 0 to 86400 seconds, found -1'),
        ({'delay_s': '5'}, ValueError, "delay_s: wanted 0 to 86400 seconds, found '5'"),
        ({'delay_s': 86_401}, ValueError, 'delay_s: wanted 0 to 86400 seconds, found 86401'),
        ({'delay_s': None}, ValueError, 'delay_s: wanted 0 to 86400 seconds, found None'),
        ({'delay_s': float('nan')}, ValueError, 'delay_s: wanted 0 to 86400 seconds, found nan'),
        ({'expiration_s': -1}, ValueError, 'expiration_s: wanted 0 to 86400 seconds, found -1'),
        ({'expiration_s': True}, ValueError, 'expiration_s: wanted 0 to 86400 seconds, found True'),
        ({'expiration_s': 1, 'expiration': '9'}, TypeError, 'expiration: it is given twice'),
        ({'timeout_s': -1}, ValueError, 'timeout_s: wanted 0 to 86400 seconds, found -1'),
        ({'delay_s': 1, 'expiration_s': 9}, ValueError, 'expiration: it would end the delay'),
        ({'delay_s': 1, 'expiration': '9'}, ValueError, 'expiration: it would end the delay'),
        ({'delay_s': 1, 'mandatory': True}, ValueError, 'mandatory: who listens is known at the end'),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_refused(options: dict[str, Any], error: type[Exception], told: str) -> None:
    """And nothing is sent."""
    published = Published()
    with pytest.raises(error, match=f'^{told}'):
        producing(published)('e', 1, **options)
    assert not published
