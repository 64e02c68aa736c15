"""benchmarks/peers.py in small: this framework alone, and the bare client; nothing is installed."""

from pathlib import Path

import pytest

from benchmarks.support.peers import PEERS
from benchmarks.support.peers.base import ID, SENT, Peer
from benchmarks.support.peers.environments import install
from benchmarks.support.peers.filling import publication_of
from benchmarks.support.peers.readme import put_into
from benchmarks.support.peers.results import Ratio, Results
from benchmarks.support.peers.running import Consumed
from benchmarks.support.sampling import Cost
from tests.benchmarks.conftest import Run

BARE = {'bare, one at a time', 'bare, pipelined'}
OURS = {'greenmicro thread', 'greenmicro process'}


def test_it_measures_ours(run: Run) -> None:
    """Both modes handle all, late as told, and ack late; publishing is compared with the bare client."""
    output, data = run('peers')
    consumed = {row['peer']: row for row in data['consumed']}
    assert consumed.keys() == OURS
    assert all(row['cpu_us_per_message']['median'] > 0 for row in consumed.values())
    for name in OURS:
        assert 0 < consumed[name]['p50_ms']['median'] <= consumed[name]['p99_ms']['median']
    assert {row['peer'] for row in data['published']} == {'greenmicro thread', *BARE}
    assert {'greenmicro thread', 'bare, one at a time'} in [
        {row['ours'], row['theirs']} for row in data['ratios'] if row['measure'] == 'published/s'
    ]
    assert data['absent'] == data['peers'] == {}
    assert 'published/s: greenmicro thread to bare, one at a time' in output


@pytest.mark.parametrize('peer', [peer for peers in PEERS.values() for peer in peers], ids=lambda p: p.name)
def test_each_peer_says_what_it_is_told_and_where(peer: Peer) -> None:
    """A message of each can be told from others and tells its time; pins are exact."""
    assert peer.settings
    assert peer.docs
    if peer.environment is not None:
        assert all('==' in pin or '<' in pin for pin in peer.environment.requirements)
    if peer.envelope is not None:
        publication = publication_of(peer.envelope)
        assert str(SENT).encode() in publication.body
        whole = repr((publication.body, publication.properties, publication.headers))
        assert ID in whole or peer.name == 'nameko'  # whose messages have no id


def test_what_needs_no_environment_is_not_installed() -> None:
    """Ours is run from the checkout."""
    assert install(PEERS['greenmicro']) == {}


def test_a_ratio_is_of_two_figures_of_the_same_round() -> None:
    """Ratios are made round by round, before the median; one that was not measured has none."""
    results = Results()
    ours, theirs = PEERS['greenmicro'][0], PEERS['nameko'][0]
    for our, their in ((1.0, 4.0), (2.0, 2.0), (3.0, 4.0)):
        results.note_consumed(ours, Consumed(Cost(10, 1.0, 1.0, our, 1.0)))
        results.note_consumed(theirs, Consumed(Cost(10, 1.0, 1.0, their, 1.0)))
    spread = results.ratio(Ratio('CPU per message', ours.name, theirs.name))
    assert spread is not None
    assert spread.values == [0.25, 1.0, 0.75]
    assert results.ratio(Ratio('CPU per message', ours.name, 'FastStream')) is None


def test_only_what_is_between_the_markers_is_replaced(tmp_path: Path) -> None:
    """A document without them is an error."""
    document = tmp_path / 'document.md'
    document.write_text('a\n<!-- t -->\nold\n<!-- end of t -->\nb\n')
    put_into(document, 't', 'new\n')
    assert document.read_text() == 'a\n<!-- t -->\nnew\n<!-- end of t -->\nb\n'
    with pytest.raises(ValueError, match='wanted the lines'):
        put_into(document, 'u', 'new')
