"""The forms in which a message moves on; that it does is tested with the consumer."""

import pytest

from greenmicro.brokers.rabbitmq.publications import pack_publication
from greenmicro.brokers.rabbitmq.republisher import slimmer
from greenmicro.errors import PayloadError
from greenmicro.messages import ATTEMPT_HEADER, CRASHES_HEADER, SUSPICIONS_HEADER, Publication
from tests.brokers.sides import DEADLINE_S, NewSide, event

FRAME_MAX = 131_072


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """RabbitMQ, with a vhost of this test's own."""
    return amqp_uri


def test_nothing_is_kept_of_what_has_moved_on(new_side: NewSide) -> None:
    """A service that answers has a new key for each caller that there ever was."""
    side = new_side()
    inbox = side.subscribe('q', exchange=None)
    broker = side.start_ready().broker
    for number in range(5):
        broker.publish(event(b'%d' % number, 'q', exchange=''))
        answer = event(b'', f'caller-{number}', exchange='amq.topic', mandatory=False)
        inbox.consumer.answer(inbox.next(), answer, answer)
    republisher = broker._republisher  # type: ignore[attr-defined]
    republisher.wait(DEADLINE_S)
    assert not republisher._staying
    assert not republisher._told


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
    """Our own headers stay as long as they can, and the counts always: without them it would loop."""
    counts = {ATTEMPT_HEADER: 2, CRASHES_HEADER: 1, SUSPICIONS_HEADER: 1}
    publication = Publication('', 'q.dead', b'body', properties, {**counts, **headers}, True)
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
    assert form.headers.items() >= counts.items()
