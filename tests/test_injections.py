"""injection_of, where there are no dependencies; the tests of workers show how they are entered and left."""

from greenmicro.dependencies import WorkerContext
from greenmicro.injections import injection_of
from greenmicro.messages import Message
from greenmicro.settings import Settings


def test_a_message_without_dependencies_gets_a_dict_of_its_own() -> None:
    """What a worker puts into it does not reach another message."""
    settings = Settings.load({'AMQP_URI': 'memory://', 'SERVICE_NAME': 'service'}, {})
    context = WorkerContext(Message(b''), 'entrypoint', settings, lambda publication: None)
    with injection_of({}, context) as first:
        first['mine'] = 1
    with injection_of({}, context) as second:
        assert second == {}
