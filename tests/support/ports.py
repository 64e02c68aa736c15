"""TCP ports of loopback: which are free, and whether somebody answers there."""

import random
import socket

# Below the range from which Linux takes the ports of outgoing connections (32768 and up): a client that tries
# again and again to reach a port of that range while its server is down may, by chance, connect to itself.
LOWEST, HIGHEST = 15_000, 29_999
#: Not the global one: runs with the same seed, side by side, would all try the same ports at the same time.
_chance = random.SystemRandom()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    while True:
        port = _chance.randint(LOWEST, HIGHEST)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether a listener could have this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on this port of loopback."""
    try:
        socket.create_connection(('127.0.0.1', port), timeout=1).close()
    except OSError:
        return False
    return True


def answers_amqp(port: int) -> bool:
    """Whether a broker on this port of loopback answers the protocol header with its first method frame."""
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=1) as connection:
            connection.sendall(b'AMQP\x00\x00\x09\x01')
            return connection.recv(1) == b'\x01'
    except OSError:
        return False
