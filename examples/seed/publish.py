"""Another program: publishes ten events as `source_service` does, and counts what `my_service` answers."""

import os
import sys
import time

from kombu import Connection, Consumer, Exchange, Producer, Queue

URI = os.environ.get('GREENMICRO_AMQP_URI', 'amqp://guest:guest@localhost:5672')
EVENTS = 10
PATIENCE_S = 10.0

events = Exchange('source_service.events', type='topic')
answers = Exchange('my_service.events', type='topic')


def main():
    with Connection(URI) as connection:
        channel = open_channel(connection)
        # Ours alone, gone with our connection; bound before we publish, so that no answer is missed.
        queue = Queue(exchange=answers, routing_key='event_name', exclusive=True)
        received = []
        with Consumer(channel, queue, on_message=received.append, no_ack=True):
            producer = Producer(channel, events)
            for number in range(EVENTS):
                producer.publish({'number': number}, routing_key='event_name', declare=[events])
            print(f'published {EVENTS} events on source_service.events')
            wait_for(received, connection)
        print(f'received {len(received)} events on my_service.events')
        if len(received) < EVENTS:
            sys.exit('Is main.py running, on the same broker?')


def open_channel(connection):
    try:
        return connection.channel()
    except OSError as error:
        sys.exit(f'There is no broker at {connection.as_uri()}: {error}')


def wait_for(received, connection):
    deadline = time.monotonic() + PATIENCE_S
    while len(received) < EVENTS and time.monotonic() < deadline:
        try:
            connection.drain_events(timeout=max(0.1, deadline - time.monotonic()))
        except TimeoutError:
            pass


if __name__ == '__main__':
    main()
