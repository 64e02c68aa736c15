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
    context = WorkerContext(message(), 'the entrypoint', settings(), published)
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
    assert (sent.headers, sent.mandatory) == ({}, False)


def test_options_reach_the_broker() -> None:
    """Headers, mandatory, and any AMQP property, also in place of our own."""
    published = Published()
    producing(published)('e', 1, headers={'tenant': 7}, mandatory=True, message_id='m-1', expiration='500')
    (sent,) = published
    assert (sent.headers, sent.mandatory) == ({'tenant': 7}, True)
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
