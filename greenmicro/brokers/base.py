"""The contract of a broker: what services ask of RabbitMQ, and of the one inside the process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from greenmicro.amqp.topology import Exchange, Subscription
from greenmicro.messages import Failure, Message, Outcome, Publication, Settlement
from greenmicro.settings import Settings

#: Takes one message; returns at once and never raises.
Receive = Callable[[Message], None]
#: Takes one message that is to be run no more, and why; it is settled like any other.
Lose = Callable[[Message, Failure], None]


class Consumer(ABC):
    """One subscription's side of a broker.

    Every message that it delivered is settled exactly once. Deliveries and settlements happen on the
    hub; no method here blocks it or raises for a lost connection.
    """

    @abstractmethod
    def begin(self, message: Message) -> bool:
        """Say whether a message is still ours, just before a worker starts it; not asked again after that.

        Returns:
            False when its channel was lost before it started: the broker delivers it again, so it is
            dropped here, and is not settled.
        """

    @property
    def active(self) -> bool:
        """Whether the broker delivers to it at this moment; a sole subscription is then ours."""
        return True

    @property
    def losses(self) -> int:
        """How many of its channels were lost so far, with what was under way on them."""
        return 0

    def holds(self, message: Message) -> bool:
        """Say whether a message that waits for a worker is still ours; unlike `begin` it changes nothing.

        The broker's handle tells, where it has such a mark.
        """
        return not getattr(message.delivery, 'dropped', False)

    @abstractmethod
    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Tell the broker what became of a message; returns at once.

        - ACK: done, the broker forgets it.
        - DEAD_LETTER: published to the dead queue (confirmed, mandatory), then acked. While the dead
          queue cannot be written the message stays unsettled, and is tried again.
        - RETRY: published to its queue again after `outcome.failure.delay_s`, counted (confirmed,
          mandatory), then acked. While that is not possible the message stays unsettled, and is tried again.
        - GIVE_BACK: back to its queue, for anyone. Only after `Broker.stop`: what is given back while
          we still consume comes straight back.

        A second settlement of a message, or one after `Broker.close`, does nothing.
        """

    @abstractmethod
    def answer(self, message: Message, reply: Publication, otherwise: Publication) -> None:
        """Settle a message by a reply: published (confirmed), then the message is acked; returns at once.

        While that is not possible the message stays unsettled, and is tried again.

        Args:
            message: What is answered.
            reply: The reply; nobody need take it.
            otherwise: What is published instead if the broker refuses the reply, as too large.
        """


class Broker(ABC):
    """Where messages come from and go to.

    Its life: `declare` and `subscribe`, then `start`, then any number of `publish` from any greenlet,
    then `stop` (deliver no more), settle what was delivered, then `close`.

    Args:
        settings: The service's settings.
    """

    #: How long a message may stay unsettled until the broker takes it back, in seconds; None for ever.
    consumer_timeout_s: float | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    def declare(self, exchange: Exchange) -> None:
        """Have an exchange declared before anything is published; before `start`."""

    @abstractmethod
    def subscribe(self, subscription: Subscription, receive: Receive, lose: Lose) -> Consumer:
        """Have a queue declared, bound and consumed from; before `start`.

        Args:
            subscription: The queue, what feeds it, and the prefetch.
            receive: Called on the hub for each message.
            lose: Called on the hub for each message that took too many services with it.
        """

    @abstractmethod
    def start(self, on_fatal: Callable[[Exception], None]) -> None:
        """Connect in the background, declare, consume; an absent broker is waited for.

        Args:
            on_fatal: Called at most once, when the broker refuses us before it was ever reached for
                good (password, virtual host, arguments that differ); with a BrokerError.
        """

    @abstractmethod
    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until every subscription is consuming and publishing is possible.

        Returns:
            Whether that is so; False when the time is over, the broker refuses us, or it is closed.
        """

    @abstractmethod
    def hindrances(self) -> Iterator[str]:
        """Yield, in a sentence each, what keeps us from consuming or publishing at this moment."""

    @abstractmethod
    def publish(self, publication: Publication) -> None:
        """Publish, and return when the broker has confirmed it; blocks the calling greenlet only.

        One with a `delay_s` is confirmed when it is safe where it waits. The first one into a step may take
        a second longer.

        Raises:
            PayloadError: AMQP cannot carry its properties, headers or names; nothing was sent.
            UnroutableError: It was mandatory and no queue takes it.
            RefusedError: The broker refused it, and did so again after short delays.
            UnavailableError: The broker was not there within the publication's `timeout_s`.
            BlockedError: It was there, and accepted no messages within that time.
            UnconfirmedError: It was sent, and no confirm came within that time.
            StoppingError: The broker is closed.
        """

    @abstractmethod
    def stop(self, timeout_s: float) -> None:
        """Deliver no more: returns once the broker has agreed, or its connection is lost.

        Publishing and settling go on, and so do lasting subscriptions.
        """

    @abstractmethod
    def close(self, timeout_s: float) -> None:
        """Send the settlements that wait, then let go of everything; possible at any time, even twice.

        What is not settled by then goes back to its queue.
        """
