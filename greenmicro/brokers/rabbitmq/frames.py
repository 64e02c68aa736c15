"""The frames of AMQP 0-9-1: their kinds, their layout, and how one is packed."""

from __future__ import annotations

import struct

METHOD, HEADER, BODY, HEARTBEAT = KINDS = (1, 2, 3, 8)
#: AMQP 0-9-1, section 2.3.5: type, channel and size stand before a frame's payload, 0xCE after it.
FRAME_HEAD = struct.Struct('>BHI')
FRAME_END = 0xCE
FRAME_OVERHEAD = FRAME_HEAD.size + 1
HEARTBEAT_FRAME = FRAME_HEAD.pack(HEARTBEAT, 0, 0) + bytes([FRAME_END])

#: Class and method, at the start of a method frame's payload.
METHOD_ID = struct.Struct('>HH')
#: Class, weight and body size, at the start of a header frame's payload.
CONTENT_HEAD = struct.Struct('>HHQ')

Frame = tuple[int, int, bytes]


def pack_frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return one frame."""
    return b'%b%b%c' % (FRAME_HEAD.pack(kind, channel, len(payload)), payload, FRAME_END)
