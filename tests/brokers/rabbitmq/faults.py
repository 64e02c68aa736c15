"""What an operator may do to a broker's connections, from a test."""

from tests.support.erlang import binary
from tests.support.rabbitmq import Node

CLOSE = """
Named = fun(Pid) ->
    case rabbit_networking:connection_info(Pid, [client_properties]) of
        [{{client_properties, Given}}] when is_list(Given) ->
            case lists:keyfind(<<"connection_name">>, 1, Given) of
                {{_, _, Name}} -> binary:match(Name, {name}) =/= nomatch;
                false -> false
            end;
        _ -> false  % it is only just being opened
    end
end,
Found = [Pid || Pid <- rabbit_networking:connections(), Named(Pid)],
[rabbit_networking:close_connection(Pid, "the test says so") || Pid <- Found],
length(Found).
"""


def close_connections(node: Node, name: str) -> int:
    """Have the broker close the connections with a name, and return how many they were."""
    return int(node.eval(CLOSE.format(name=binary(name))))
