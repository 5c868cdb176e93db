"""SCTP packets made by hand: kernels without SCTP sockets still carry, track and filter the protocol.

Only what connection tracking looks at is right: checksum, verification tags, chunk types. RFC 9260.
"""

import struct

PROTO_SCTP = 132
DATA, INIT, INIT_ACK, HEARTBEAT, ABORT = 0, 1, 2, 4, 6
COOKIE_ECHO, COOKIE_ACK = 10, 11


def _table():
    rows = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return rows


_CRC = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def packet(source_port, port, tag, kind, body=b"", flags=0):
    """One packet with one chunk, as a raw socket sends it."""
    chunk = struct.pack("!BBH", kind, flags, 4 + len(body)) + body
    chunk += bytes(-len(chunk) % 4)
    head = struct.pack("!HHI", source_port, port, tag)
    check = struct.pack("<I", crc32c(head + bytes(4) + chunk))  # the only little-endian field
    return head + check + chunk


def init(source_port, port, own_tag):
    return packet(source_port, port, 0, INIT, struct.pack("!IIHHI", own_tag, 65536, 1, 1, 1))


def init_ack(source_port, port, tag, own_tag, cookie=b"cookie.."):
    """`cookie`: what the other end sends back in its COOKIE ECHO."""
    parameter = struct.pack("!HH", 7, 4 + len(cookie)) + cookie
    return packet(source_port, port, tag, INIT_ACK,
                  struct.pack("!IIHHI", own_tag, 65536, 1, 1, 1) + parameter)


def data(source_port, port, tag, number, payload):
    """A whole message (flags B and E) in stream 0."""
    return packet(source_port, port, tag, DATA,
                  struct.pack("!IHHI", number, 0, number & 0xFFFF, 0) + payload, flags=3)


def parse(text):
    """(source port, port, tag, chunk kind, chunk body) of a packet without its IP header, or None. A wrong checksum makes
    it none, as it does to every receiver: whoever translates ports has to calculate it anew."""
    if len(text) < 16 or struct.unpack_from("<I", text, 8)[0] != crc32c(text[:8] + bytes(4) + text[12:]):
        return None
    source_port, port, tag = struct.unpack_from("!HHI", text)
    kind, _, length = struct.unpack_from("!BBH", text, 12)
    return source_port, port, tag, kind, text[16:12 + length]
