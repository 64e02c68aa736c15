"""Dead letters of a running service, through the command line."""

from pathlib import Path

import pytest

from greenmicro.cli import main
from tests.acceptance.conftest import Write
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.rabbitmq import Node

QUEUE = 'evt-source-event--service.work'
COUNT = 30
#: Fails until the file is there.
WORK = """\
if not os.path.exists({mended!r}):
    raise RuntimeError('the database is away')
"""


@pytest.mark.parametrize('kind', ['classic', 'quorum'])
def test_requeued_while_the_service_runs(
    kind: str,
    write: Write,
    ledger: Ledger,
    rabbitmq: Node,
    vhost: str,
    amqp_uri: str,
    amqp_client: Client,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What failed fails again while the cause is there, and is done once it is mended; each once a turn."""
    monkeypatch.setenv('GREENMICRO_AMQP_URI', amqp_uri)
    mended = tmp_path / 'mended'
    tasks = ledger.tasks(WORK.format(mended=str(mended)))
    with write(amqp_uri, tasks=tasks, QUEUE_TYPE=kind) as program:
        program.wait_for('ready')
        for number in range(COUNT):
            amqp_client.publish('source.events', 'event', {'id': number}, message_id=str(number))
        amqp_client.wait_for_counts(f'{QUEUE}.dead', ready=COUNT)
        assert main(['dead', 'requeue', QUEUE, '--error', 'RuntimeError']) == 0
        amqp_client.wait_for_counts(f'{QUEUE}.dead', ready=COUNT)
        assert set(ledger.of('S').values()) == {2}
        mended.touch()
        assert main(['dead', 'list', QUEUE]) == 0
        assert main(['dead', 'requeue', QUEUE]) == 0
        ledger.wait_for('F', COUNT)
        assert program.stop() == 0
    out = capsys.readouterr().out
    assert out.count(f'requeued {COUNT} letters') == 2
    assert out.count(' RuntimeError: the database is away ') == COUNT
    assert set(ledger.of('S').values()) == {3}
    assert set(ledger.of('F').values()) == {1}
    assert {name: counts[:2] for name, counts in rabbitmq.queues(vhost).items()} == {
        QUEUE: (0, 0),
        f'{QUEUE}.dead': (0, 0),
    }
