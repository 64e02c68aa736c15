"""The message that a request becomes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from greenmicro.hops import PREFIX, STACK_HEADER, TRACE
from greenmicro.http.values import JSON, REQUEST_HEADER, query_of, to_json
from greenmicro.messages import Message

#: Under which a request's id comes and goes; a message has it as its id.
ID_HEADER = 'X-Request-Id'
_ID = re.compile(r'[\w.:/+=-]{1,128}', re.ASCII).fullmatch
_BYTES = 'application/octet-stream'


def message_of(
    environ: Mapping[str, Any],
    headers: Mapping[str, str],
    parameters: Mapping[str, Any],
    body: bytes,
    raw: bool,
    waiting: Any,
) -> Message:
    """Make the message that a route runs for.

    Args:
        environ: Of the request, as WSGI has it; its path is UTF-8.
        headers: The headers, by lower-case name.
        parameters: The variable parts of the path.
        body: The body.
        raw: Whether the payload is the body's bytes.
        waiting: What is told of the outcome; stays in this process.
    """
    query_string = environ['QUERY_STRING']
    content_type = _BYTES if raw else _decoded_as(headers.get('content-type'))
    content = body
    if not raw and not body:
        content, content_type = _json_of(query_string), JSON
    given = headers.get('x-request-id', '')
    properties = {
        'content_type': content_type,
        'message_id': given if _ID(given) else str(uuid.uuid4()),
    }
    path = environ['PATH_INFO'].encode('latin-1').decode()
    client = environ.get('REMOTE_ADDR', '')
    request = (environ['REQUEST_METHOD'], path, query_string, headers, parameters, client, bool(body))
    return Message(content, properties, {REQUEST_HEADER: request, **_context(headers)}, delivery=waiting)


def _decoded_as(content_type: str | None) -> str | None:
    """Say as what a body is decoded: JSON has many names (RFC 6839, 3.1)."""
    if content_type is None or content_type == JSON:
        return content_type
    media, _, parameters = content_type.partition(';')
    return f'{JSON};{parameters}' if media.strip().lower().endswith('+json') else content_type


def _json_of(query_string: str) -> bytes:
    if not query_string:
        return b'{}'
    return to_json({name: values[0] for name, values in query_of(query_string).items()})


def _context(headers: Mapping[str, str]) -> dict[str, Any]:
    """Take what travels from call to call: nameko's headers, and those of traces."""
    context: dict[str, Any] = {
        name: value for name, value in headers.items() if name in TRACE or name.startswith(PREFIX)
    }
    if STACK_HEADER in context:
        context[STACK_HEADER] = [call_id.strip() for call_id in context[STACK_HEADER].split(',')]
    return context
