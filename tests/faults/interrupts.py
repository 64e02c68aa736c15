"""Interrupts: a signal ends a command from its main greenlet, whichever one it finds at work."""

import signal

import gevent


def to_main() -> None:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt in this greenlet, once it waits for something.

    Raised where it finds the program, in the middle of a client library, it was once swallowed.
    """
    main, loop = gevent.getcurrent(), gevent.get_hub().loop

    def interrupt(number: int, frame: object) -> None:
        loop.run_callback_threadsafe(main.throw, KeyboardInterrupt)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
