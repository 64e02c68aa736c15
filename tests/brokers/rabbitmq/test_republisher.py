"""The forms in which a message moves on; that it does is tested with the consumer."""

import pytest

from greenmicro.brokers.rabbitmq.publications import pack_publication
from greenmicro.brokers.rabbitmq.republisher import copy_of, names_of, slimmer
from greenmicro.errors import PayloadError
from greenmicro.messages import ATTEMPT_HEADER, Message, Publication

FRAME_MAX = 131_072


def test_a_copy_is_what_its_sender_gave() -> None:
    """Less what the broker would refuse, count on, or send to others again."""
    message = Message(
        b'body',
        {'message_id': 'm', 'user_id': 'somebody', 'expiration': '60000'},
        {'x-mine': 1, 'x-delivery-count': 5, 'x-acquired-count': 5, 'CC': ['other'], 'BCC': ['third']},
        'shop.events',
        'order',
        'q',
    )
    copy = copy_of(message)
    assert copy[:4] == ('', 'q', b'body', {'message_id': 'm', 'expiration': '60000'})
    assert copy.mandatory
    came_back = Message(copy.body, copy.properties, copy.headers, '', 'q', 'q')
    assert names_of(came_back) == ('shop.events', 'order')
    assert copy.headers['x-mine'] == 1
    assert not copy.headers.keys() & {'x-delivery-count', 'x-acquired-count', 'CC', 'BCC'}


def test_names_are_restored_through_the_default_exchange_only() -> None:
    """And only where both were given as texts."""
    headers = {'greenmicro.origin_exchange': 'ex', 'greenmicro.origin_routing_key': 'key'}
    assert names_of(Message(b'', headers=headers, exchange='other', routing_key='k')) == ('other', 'k')
    forged = {**headers, 'greenmicro.origin_exchange': 5}
    assert names_of(Message(b'', headers=forged, routing_key='q')) == ('', 'q')


@pytest.mark.parametrize(
    ('headers', 'properties'),
    [
        ({'theirs': 2**64 - 1}, {}),
        ({'theirs': 'y' * 200_000}, {}),
        ({'greenmicro.theirs': 'y' * 200_000}, {}),
        ({f'greenmicro.{number}': 'y' * 10_000 for number in range(20)}, {}),
        ({}, {'priority': 300}),
    ],
)
def test_in_the_end_every_message_can_be_written(
    headers: dict[str, object], properties: dict[str, object]
) -> None:
    """Our own headers stay as long as they can."""
    publication = Publication('', 'q.dead', b'body', properties, {ATTEMPT_HEADER: 2, **headers}, True)
    with pytest.raises(PayloadError):
        pack_publication(1, publication, FRAME_MAX)
    for form in slimmer(publication):
        try:
            pack_publication(1, form, FRAME_MAX)
        except PayloadError:
            continue
        break
    else:
        pytest.fail('no form could be written')
    assert form.body == b'body'
    assert form.headers.get(ATTEMPT_HEADER) == (None if properties else 2)
