"""The contract of brokers, for each of them: messages that are answered, and what lasts through a stop."""

from greenmicro.amqp.topology import Exchange
from greenmicro.brokers.base import Broker
from tests.brokers.sides import Listen, NewSide, event

REPLIES = Exchange('replies')


def test_an_answer_is_published_and_the_message_acked(broker: Broker, listen: Listen) -> None:
    """It makes room for the next one, and does not come again."""
    replies, inbox = listen('mine', REPLIES, 'key'), listen('work', prefetch=1)
    for body in (b'first', b'second'):
        broker.publish(event(body))
    for body in (b'first', b'second'):
        message = inbox.next()
        answer = event(b'to ' + body, 'key', exchange='replies', mandatory=False)
        inbox.consumer.answer(message, answer, answer)
        assert message.body == body
    assert replies.take_acked(2) == [b'to first', b'to second']
    inbox.side.close()
    broker.publish(event(b'marker'))
    assert listen('work').next().body == b'marker'


def test_an_answer_that_nobody_takes_is_dropped(broker: Broker, listen: Listen) -> None:
    """Who asked may have gone; the message is acked all the same."""
    listen('mine', REPLIES, 'key')
    inbox = listen('work', prefetch=1)
    for body in (b'first', b'second'):
        broker.publish(event(body))
    answer = event(b'gone', 'other key', exchange='replies', mandatory=False)
    inbox.consumer.answer(inbox.next(), answer, answer)
    assert inbox.next().body == b'second'


def test_what_lasts_is_delivered_after_a_stop(broker: Broker, new_side: NewSide) -> None:
    """Until the broker is closed; the others get nothing more."""
    side = new_side()
    lasting, passing = side.subscribe('lasting', lasting=True), side.subscribe('passing')
    side.start_ready()
    side.stop()
    broker.publish(event(b'late'))
    message = lasting.next()
    assert message.body == b'late'
    lasting.ack(message)
    assert not len(passing)
