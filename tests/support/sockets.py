"""What the kernel says of a process's sockets, seen from outside."""

from pathlib import Path
from typing import NamedTuple

ESTABLISHED, CONNECTING = '01', '02'


class Connection(NamedTuple):
    """A TCP connection: the inode of its socket, its local port, its state as the kernel writes it."""

    inode: str
    port: int
    state: str


def inodes(pid: int) -> set[str]:
    """The inodes of all sockets that a process has open; none when it is gone."""
    folder = Path(f'/proc/{pid}/fd')
    found = set()
    try:
        for descriptor in folder.iterdir():
            try:
                target = str(descriptor.readlink())
            except FileNotFoundError:
                continue  # closed meanwhile
            if target.startswith('socket:['):
                found.add(target[len('socket:[') : -1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def connections(pid: int) -> list[Connection]:
    """The TCP connections (IPv4) that a process has open, in its own network namespace."""
    own = inodes(pid)
    try:
        lines = Path(f'/proc/{pid}/net/tcp').read_text().splitlines()[1:]
    except (OSError, ProcessLookupError):
        return []
    told = [line.split() for line in lines]
    return [
        Connection(words[9], int(words[1].rpartition(':')[2], 16), words[3])
        for words in told
        if words[9] in own
    ]
