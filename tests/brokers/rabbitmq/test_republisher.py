"""The forms in which a message moves on; that it does is tested with the consumer."""

import pytest

from greenmicro.brokers.rabbitmq.publications import pack_publication
from greenmicro.brokers.rabbitmq.republisher import slimmer
from greenmicro.errors import PayloadError
from greenmicro.messages import ATTEMPT_HEADER, CRASHES_HEADER, SUSPICIONS_HEADER, Publication

FRAME_MAX = 131_072


@pytest.mark.parametrize(
    ('headers', 'properties'),
    [
        ({'theirs': 2**64 - 1}, {}),
        ({'theirs': 'y' * 200_000}, {}),
        ({'greenmicro.theirs': 'y' * 200_000}, {}),
        ({f'greenmicro.{number}': 'y' * 10_000 for number in range(20)}, {}),
        ({}, {'priority': 300}),
    ],
)
def test_in_the_end_every_message_can_be_written(
    headers: dict[str, object], properties: dict[str, object]
) -> None:
    """Our own headers stay as long as they can, and the counts always: without them it would loop."""
    counts = {ATTEMPT_HEADER: 2, CRASHES_HEADER: 1, SUSPICIONS_HEADER: 1}
    publication = Publication('', 'q.dead', b'body', properties, {**counts, **headers}, True)
    with pytest.raises(PayloadError):
        pack_publication(1, publication, FRAME_MAX)
    for form in slimmer(publication):
        try:
            pack_publication(1, form, FRAME_MAX)
        except PayloadError:
            continue
        break
    else:
        pytest.fail('no form could be written')
    assert form.body == b'body'
    assert form.headers.items() >= counts.items()
