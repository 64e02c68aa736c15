"""FolderEntrypoint: each JSON file in a folder is a message."""

import time

from greenmicro.entrypoints import Entrypoint
from greenmicro.messages import Message, Settlement

INTERVAL_S = 0.2
#: What a file is called in the end; one that is given back keeps its name.
SUFFIXES = {Settlement.ACK: '.done', Settlement.DEAD_LETTER: '.failed'}


class FolderEntrypoint(Entrypoint):
    """Receives the files `*.json` of a folder, and renames each to `.done` or `.failed` in the end.

    A file keeps its name until then, so that nothing is lost in a crash: the next start finds it again.
    Whoever drops a file writes it under another name and renames it, or half of it may be read.

    Args:
        path: The folder, a Path; for one service alone.
        route: What each file goes through.
    """

    def __init__(self, path, route):
        super().__init__(route)
        self.path = path
        self.taken = set()

    def describe(self):
        return f'{self.path}/*.json -> {self.route.target}'

    def start(self):
        self.service.spawn(self.watch)

    def watch(self):
        """Look for new files until the service stops, which ends this greenlet."""
        while True:
            for file in sorted(self.path.glob('*.json')):
                # No more at a time than a listener would hold.
                if file.name not in self.taken and len(self.taken) < self.service.prefetch:
                    self.take(file)
            time.sleep(INTERVAL_S)

    def take(self, file):
        self.taken.add(file.name)
        properties = {'content_type': 'application/json', 'message_id': file.name}
        self.receive(Message(file.read_bytes(), properties))

    def settle(self, message, settlement, outcome):
        self.taken.discard(message.message_id)
        if settlement in SUFFIXES:
            file = self.path / message.message_id
            file.rename(file.with_suffix(SUFFIXES[settlement]))
