"""What we ask a RabbitMQ node in its own language."""

from typing import NamedTuple
from urllib.parse import unquote

CREATE_VHOST = """
V = {vhost},
rabbit_vhost:add(V, <<"tests">>),
rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).
"""

DELETE_VHOST = 'rabbit_vhost:delete({vhost}, <<"tests">>).'

# Asked of the queue itself: what rabbitmqctl and the statistics say of a quorum queue is up to 5 s old. One
# that is only just being declared cannot be asked yet.
COUNT_QUEUES = """
Ask = fun Again(Pid, Query, Tries) ->
    case ra:local_query(Pid, Query) of
        {{ok, {{_, Answer}}, _}} -> Answer;
        _ when Tries > 0 -> timer:sleep(20), Again(Pid, Query, Tries - 1)
    end
end,
Count = fun(Q) ->
    Pid = amqqueue:get_pid(Q),
    case amqqueue:get_type(Q) of
        rabbit_quorum_queue ->
            {{Ready, Consumers}} = Ask(Pid, fun rabbit_fifo:query_stat/1, 100),
            [Ready, Ask(Pid, fun rabbit_fifo:query_messages_checked_out/1, 100), Consumers];
        _ ->
            Keys = [messages_ready, messages_unacknowledged, consumers],
            [Value || {{_, Value}} <- rabbit_amqqueue:info(Q, Keys)]
    end
end,
Line = fun(Q) ->
    {{resource, _, queue, Name}} = amqqueue:get_name(Q),
    io_lib:format("~s ~w ~w ~w;", [uri_string:quote(Name) | Count(Q)])
end,
lists:flatten([Line(Q) || Q <- rabbit_amqqueue:list({vhost})]).
"""

MOST_BYTES = '{ok, Limit} = application:get_env(rabbit, max_message_size), Limit.'
# RabbitMQ 3.10 looks at the one, 4 at the other.
SET_MOST_BYTES = """
Limit = {size},
application:set_env(rabbit, max_message_size, Limit),
persistent_term:put(max_message_size, Limit).
"""


class QueueCounts(NamedTuple):
    """What a queue holds at this moment."""

    ready: int
    unacked: int
    consumers: int


def binary(text: str) -> str:
    """A text as an Erlang binary, written byte by byte so that nothing needs escaping."""
    return '<<' + ','.join(str(byte) for byte in text.encode()) + '>>'


def parse_counts(answer: str) -> dict[str, QueueCounts]:
    """The answer to COUNT_QUEUES, `"name 1 2 3;name 4 5 6;"`, by the queue's name."""
    fields = [line.split() for line in answer.strip('"[]').split(';') if line]
    return {unquote(name): QueueCounts(*map(int, counts)) for name, *counts in fields}
