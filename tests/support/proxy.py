"""A TCP proxy that does what networks do; it runs in a process of its own, whatever the test's hub does.

As a program it serves one upstream and takes a JSON object a line on its input, the state of the link from
then on, and answers each with a line, how many connections it has been asked for so far:

    {"up": {"mode": "blackhole"}, "down": {"mode": "delay", "seconds": 0.4}, "accept": "pass"}

`up` is what clients send, `down` what the broker sends. Their modes are `pass`, `blackhole` (read, and kept
until it heals: over TCP bytes come late, and never with a hole among them), `stall` (not read), `delay`
(`seconds`, and up to `jitter` more), `rate` (`bytes_per_second`) and `slice` (`most` bytes a write).
`accept` is `pass`, `refuse` (reset at once) or `tarpit` (accepted, and nothing more). `now`, `rst` or `fin`,
ends all connections once.
"""

import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
from types import TracebackType
from typing import Any

PASS = {'mode': 'pass'}
READ_SIZE = 65_536


class Proxy:
    """A proxy before a port of loopback, from a test's side.

    Args:
        upstream: The port of the broker.
        seed: Of what is left to chance: jitter, and the sizes of slices.

    Attributes:
        port: Where it listens, once it is started.
        state: What was set last.
    """

    def __init__(self, upstream: int, seed: int = 1) -> None:
        self.upstream = upstream
        self.seed = seed
        self.port = 0
        self.state: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None

    def accepted(self) -> int:
        """How many connections it has been asked for so far."""
        return self.set(**self.state)

    def set(self, **state: Any) -> int:
        """Set what happens from now on; what is not named passes. Returns, once it is so, as `accepted`."""
        self.state = {key: value for key, value in state.items() if key != 'now'}
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(state) + '\n')
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> 'Proxy':
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.upstream), str(self.seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # It ends with its input, and so also when this process is killed.
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(60)


class Serving:
    """The proxy itself, in its own process."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.state: dict[str, Any] = {}
        self.changed = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()
        self.held: dict[asyncio.StreamWriter, tuple[str, bytearray]] = {}
        self.accepted = 0

    async def serve(self) -> None:
        server = await asyncio.start_server(self.accept, '127.0.0.1', 0)
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := await lines.readline():
            self.apply(json.loads(line))
            print(self.accepted, flush=True)  # noqa: T201

    def apply(self, state: dict[str, Any]) -> None:
        self.state = state
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()
        for writer, (way, data) in list(self.held.items()):
            if self.mode(way)['mode'] != 'blackhole':
                del self.held[writer]
                if not writer.is_closing():
                    writer.write(data)
        for writer in list(self.writers) if 'now' in state else ():
            end(writer, reset=state['now'] == 'rst')

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.writers.add(writer)
        how = self.state.get('accept', 'pass')
        if how == 'refuse':
            end(writer, reset=True)
        elif how == 'pass':
            try:
                up_reader, up_writer = await asyncio.open_connection('127.0.0.1', self.upstream)
            except OSError:
                end(writer, reset=True)
                return
            self.writers.add(up_writer)
            await asyncio.gather(self.pump('up', reader, up_writer), self.pump('down', up_reader, writer))
            self.writers.discard(up_writer)
        else:
            return
        self.writers.discard(writer)

    async def pump(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                while self.mode(way)['mode'] == 'stall':
                    await self.changed.wait()
                data = await reader.read(READ_SIZE)
                if not data:
                    break
                await self.forward(way, data, writer)
        except OSError:
            pass
        self.held.pop(writer, None)
        end(writer, reset=False)

    async def forward(self, way: str, data: bytes, writer: asyncio.StreamWriter) -> None:
        mode = self.mode(way)
        name = mode['mode']
        if name == 'blackhole':
            self.held.setdefault(writer, (way, bytearray()))[1].extend(data)
            return
        if name == 'delay':
            await asyncio.sleep(mode['seconds'] + random.uniform(0, mode.get('jitter', 0)))
        most = {'slice': mode.get('most', 3), 'rate': 64}.get(name, len(data))
        while data:
            size = random.randint(1, most) if name == 'slice' else most
            piece, data = data[:size], data[size:]
            writer.write(piece)
            await writer.drain()
            if name == 'rate':
                await asyncio.sleep(len(piece) / mode['bytes_per_second'])

    def mode(self, way: str) -> dict[str, Any]:
        found: dict[str, Any] = self.state.get(way, PASS)
        return found


def end(writer: asyncio.StreamWriter, reset: bool) -> None:
    """Close a connection, by a reset or in order."""
    if writer.is_closing():
        return
    if reset:
        linger = struct.pack('ii', 1, 0)
        writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    else:
        writer.close()


if __name__ == '__main__':
    random.seed(int(sys.argv[2]))
    asyncio.run(Serving(int(sys.argv[1])).serve())
