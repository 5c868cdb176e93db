"""Asks the kernel, over netlink and without starting a process, what felix is to have changed: whether a set holds an
address, and the generation of the nftables ruleset."""

import os
import socket
import struct

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NLMSG_ERROR = 2
IPSET, CMD_TEST, PROTOCOL = 6, 11, 6
NFTABLES, GETGEN, GEN_ID = 10, 16, 1
ATTR_PROTOCOL, ATTR_SETNAME, ATTR_DATA = 1, 2, 7
ATTR_IP, ATTR_IPADDR4, ATTR_CIDR = 1, 1, 3
NESTED, NET_ORDER = 0x8000, 0x4000


def _attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


class Kernel:
    """A socket in one namespace."""

    def __init__(self, netns):
        self.socket = netns.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.bind((0, 0))
        self.socket.settimeout(5)
        self.seq = os.getpid()

    def close(self):
        self.socket.close()

    def _ask(self, kind, flags, body):
        self.seq += 1
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, self.seq, 0) + body)
        return self.socket.recv(65536)

    def holds(self, name, address):
        """Whether the set has the address; False when there is no such set."""
        ip = _attr(ATTR_IP | NESTED, _attr(ATTR_IPADDR4 | NET_ORDER, socket.inet_aton(address)))
        body = struct.pack("=BBH", socket.AF_INET, 0, 0) + _attr(ATTR_PROTOCOL, bytes([PROTOCOL]))
        body += _attr(ATTR_SETNAME, name.encode() + b"\0") + _attr(ATTR_DATA | NESTED, ip + _attr(ATTR_CIDR, b"\x20"))
        answer = self._ask(IPSET << 8 | CMD_TEST, NLM_F_ACK, body)
        return struct.unpack_from("=i", answer, 16)[0] == 0

    def generation(self):
        """Counts up with every commit to nftables."""
        answer = self._ask(NFTABLES << 8 | GETGEN, 0, struct.pack("=BBH", 0, 0, 0))
        at = 20
        while at < len(answer):
            size, kind = struct.unpack_from("=HH", answer, at)
            if kind & 0x3fff == GEN_ID:
                return struct.unpack_from(">I", answer, at + 4)[0]
            at += (size + 3) & ~3
        raise RuntimeError("the kernel told no generation")
