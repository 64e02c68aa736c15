"""SmallDisk: a node whose data is on a disk of its own that a few messages fill. It needs root."""

import subprocess

from tests.support.node_files import find_server
from tests.support.rabbitmq import Node

#: The node takes no messages with less than 50 MB free.
SIZE = '110m'
MOUNT = 'mkdir "$0" && mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'


class SmallDisk(Node):
    """A node that sees a small file system where its data is, and is the only one to see it.

    It goes with the node's process, and the data with it.
    """

    def _spawn(self, command: list[str]) -> 'subprocess.Popen[bytes]':
        if command == [find_server()]:
            script = MOUNT.format(size=SIZE)
            command = ['unshare', '--mount', 'sh', '-c', script, str(self.folder / 'data'), *command]
        return super()._spawn(command)
