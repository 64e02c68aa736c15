"""Cluster: three nodes on loopback, of which rows harm all but the first."""

import time

from tests.support.rabbitmq import START_LIMIT_S, Node

NAMES = ('rabbit1@localhost', 'rabbit2@localhost', 'rabbit3@localhost')
CONFIG = """
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = rabbit1@localhost
cluster_formation.discovery_retry_limit = 30
cluster_formation.discovery_retry_interval = 500
"""
POLL_S = 0.1
RUNNING = 'length(rabbit_nodes:all_running()).'
#: Each by a cookie of its own: Erlang 27 takes what both sides want of each other, and so a common wrong one.
MISTRUST = "erlang:set_cookie('{name}', node())."
TRUST = "erlang:set_cookie('{name}', erlang:get_cookie())."
DISCONNECT = '[erlang:disconnect_node(Name) || Name <- nodes()].'


class Cluster(Node):
    """The first of three nodes, through which the publisher and the harness speak to all of them.

    Attributes:
        others: the second and the third.
    """

    def __init__(self) -> None:
        super().__init__(CONFIG, NAMES[0])
        self.others = [Node(CONFIG, name, beside=self) for name in NAMES[1:]]

    def start(self) -> None:
        """Start all three, and return when they know each other."""
        super().start()
        for node in self.others:
            node.start()
        self.wait_whole()

    def wait_whole(self) -> None:
        """Return when all three are running members."""
        deadline = time.monotonic() + START_LIMIT_S
        while self.eval(RUNNING) != '3':
            if time.monotonic() > deadline:
                raise RuntimeError(f'the cluster is not whole; the end of its log:\n{self.log[-4000:]}')
            time.sleep(POLL_S)

    def cut_off(self, node: Node) -> None:
        """Part a node from the two others: they take its cookie for wrong, and it theirs."""
        self._between(node, MISTRUST)
        node.eval(DISCONNECT)

    def knit(self, node: Node) -> None:
        """Let a node in again."""
        self._between(node, TRUST)

    def _between(self, node: Node, what: str) -> None:
        for other in (self, *self.others):
            if other is not node:
                other.eval(what.format(name=node.name))
                node.eval(what.format(name=other.name))

    def close(self) -> None:
        """Close all three."""
        for node in self.others:
            node.close()
        super().close()

    def hosts(self, vhost: str) -> str:
        """The addresses for a service: those that will be harmed first."""
        return ';'.join(node.uri(vhost) for node in (*self.others, self))
