"""Network namespaces: a process in one reaches a port of this machine over a router in another; needs root.

    here  A.1 --veth-- A.2  router  A.5 --veth-- A.6  inside

A router that forwards nothing is a cable that is cut: nobody is told, nothing is answered, no FIN comes.
"""

import itertools
import os
import subprocess
from types import TracebackType

#: 198.18.0.0/15 is kept for measuring networks; every process takes nets of its own from it.
_NUMBERS = itertools.count(os.getpid())


class Routed:
    """A namespace behind a router in another one; as a context manager it is there.

    Each is held by a process that ends with its input, and so also when this process is killed.

    Attributes:
        address: where this machine is found from inside.
    """

    def __init__(self) -> None:
        number = next(_NUMBERS)
        self._net = f'198.{18 + number // 256 % 2}.{number % 256}'
        self._link = f'gm{number % 100_000}'
        self.address = f'{self._net}.1'
        self._holders: list[subprocess.Popen[bytes]] = []

    def within(self) -> tuple[str, ...]:
        """The words that make a command run inside."""
        return ('nsenter', f'--net=/proc/{self._holders[1].pid}/ns/net')

    def forward(self, *, on: bool) -> None:
        """Have the router forward, or swallow, whatever comes."""
        self._in_router('sh', '-c', f'echo {int(on)} > /proc/sys/net/ipv4/ip_forward')

    def __enter__(self) -> 'Routed':
        try:
            self._set_up()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _set_up(self) -> None:
        self._holders = [hold(), hold()]
        router, inside = (str(holder.pid) for holder in self._holders)
        near, far, net = f'{self._link}a', f'{self._link}c', self._net
        run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', 'near', 'netns', router)
        self._in_router('ip', 'link', 'add', 'far', 'type', 'veth', 'peer', 'name', far, 'netns', inside)
        run('ip', 'address', 'add', f'{net}.1/30', 'dev', near)
        run('ip', 'link', 'set', near, 'up')
        for device, host in (('near', 2), ('far', 5)):
            self._in_router('ip', 'address', 'add', f'{net}.{host}/30', 'dev', device)
            self._in_router('ip', 'link', 'set', device, 'up')
        run(*self.within(), 'ip', 'address', 'add', f'{net}.6/30', 'dev', far)
        run(*self.within(), 'ip', 'link', 'set', far, 'up')
        run(*self.within(), 'ip', 'route', 'add', 'default', 'via', f'{net}.5')
        run('ip', 'route', 'add', f'{net}.4/30', 'via', f'{net}.2')
        self.forward(on=True)

    def _in_router(self, *command: str) -> None:
        run('nsenter', f'--net=/proc/{self._holders[0].pid}/ns/net', *command)

    def _close(self) -> None:
        """Let go of both; the links between them go with them."""
        for holder in self._holders:
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait(60)


def hold() -> 'subprocess.Popen[bytes]':
    """Start a process in a network namespace of its own, and return when it is there."""
    script = 'ip link set lo up; echo; exec cat > /dev/null'
    command = ['unshare', '--net', 'sh', '-c', script]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        holder.stdout.readline()
    return holder


def run(*command: str) -> None:
    """Run a command.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(command)} failed: {done.stderr.strip()}')
