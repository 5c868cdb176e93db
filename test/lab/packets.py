"""Looking at the wire, probing and streaming, with plain sockets opened inside the namespaces.

No process is started for any of it: a ping between two pods costs two system calls, so a whole matrix
of pods is probed in the time one `ping` takes to start in the emulated machine.
"""

import dataclasses
import errno
import ipaddress
import os
import select
import socket
import struct
import threading
import time

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
PROTO_ICMP, PROTO_IPIP, PROTO_UDP, PROTO_ICMPV6 = 1, 4, 17, 58
SO_RCVBUFFORCE, PACKET_OUTGOING = 33, 4
PROBE = b"canal-probe"


# ---- capture
@dataclasses.dataclass
class Packet:
    """One IP packet; `inner` is set when it carries another one (IPIP)."""

    source: str
    destination: str
    protocol: int
    length: int  # of the whole IP packet, header included
    payload: bytes
    inner: "Packet" = None
    outgoing: bool = False
    dscp: int = 0

    @property
    def overhead(self):
        return self.length - self.inner.length if self.inner else 0


def parse_ip(data):
    """The Packet in 'data' (from the IP header on), None when it is none."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        header = (data[0] & 15) * 4
        length, = struct.unpack_from("!H", data, 2)
        packet = Packet(socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20]), data[9],
                        length, data[header:length], dscp=data[1] >> 2)
    elif len(data) >= 40 and data[0] >> 4 == 6:
        length, = struct.unpack_from("!H", data, 4)
        packet = Packet(socket.inet_ntop(socket.AF_INET6, data[8:24]),
                        socket.inet_ntop(socket.AF_INET6, data[24:40]), data[6],
                        40 + length, data[40:40 + length], dscp=((data[0] & 15) << 2) | (data[1] >> 6))
    else:
        return None
    if packet.protocol == PROTO_IPIP:
        packet.inner = parse_ip(packet.payload)
    return packet


class Capture:
    """Everything that passes one interface from now on. Read it with packets(); close it."""

    def __init__(self, netns, ifname):
        self.name = f"{netns.name}/{ifname}"
        with netns.entered():
            # Protocol 0 until bound: otherwise packets of other interfaces slip in before the bind.
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            self.socket.bind((ifname, ETH_P_ALL))
        self.socket.setblocking(False)

    def packets(self):
        """The IP packets since the last call."""
        found = []
        while True:
            try:
                frame, address = self.socket.recvfrom(65536)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENETDOWN:
                    continue
                raise
            kind, = struct.unpack_from("!H", frame, 12)
            if kind in (ETH_P_IP, ETH_P_IPV6):
                packet = parse_ip(frame[14:])
                if packet is not None:
                    packet.outgoing = address[2] == PACKET_OUTGOING
                    found.append(packet)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- echo
def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _echo_request(family, ident, sequence, size):
    data = (PROBE + struct.pack("!HH", ident, sequence)).ljust((size + 1) & ~1, b".")
    kind = 8 if family == 4 else 128
    head = struct.pack("!BBHHH", kind, 0, 0, ident, sequence)
    if family == 6:
        return head + data  # the kernel fills in the checksum of ICMPv6
    return struct.pack("!BBHHH", kind, 0, _checksum(head + data), ident, sequence) + data


def family_of(address):
    return ipaddress.ip_address(address).version


def probe_of(packet):
    """(ident, sequence, is_reply) when an innermost packet is one of our echoes, else None."""
    packet = packet.inner or packet
    at = {PROTO_ICMP: (8, 0), PROTO_ICMPV6: (128, 129)}.get(packet.protocol)
    if at is None or packet.payload[8:8 + len(PROBE)] != PROBE or packet.payload[0] not in at:
        return None
    ident, sequence = struct.unpack_from("!HH", packet.payload, 4)
    return ident, sequence, packet.payload[0] == at[1]


class Prober:
    """Echo requests from many namespaces at once."""

    _next_ident = os.getpid() & 0x7FFF

    def __init__(self):
        Prober._next_ident = (Prober._next_ident + 1) & 0xFFFF
        self.ident = Prober._next_ident
        self.sockets = {}

    def _socket(self, netns, family):
        key = (netns.name, family)
        if key not in self.sockets:
            if family == 4:
                s = netns.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            else:
                s = netns.socket(socket.AF_INET6, socket.SOCK_RAW, PROTO_ICMPV6)
            s.setblocking(False)
            self.sockets[key] = s
        return self.sockets[key]

    def close(self):
        for s in self.sockets.values():
            s.close()
        self.sockets.clear()

    def probe(self, pairs, deadline=5.0, tries=1, size=56, wanted=None):
        """pairs: {key: (netns, destination address)} → {key: True when the answer came}.

        Each try asks again where no answer has come, and has an equal part of the time. Ends early
        when all have answered; or, given `wanted`, a second after all those have: the others, which
        are to stay silent, have had that long to prove otherwise."""
        keys = list(pairs)
        wanted = set(keys if wanted is None else wanted)
        answered = {}
        for _ in range(tries):
            for number, key in enumerate(keys):
                if key in answered:
                    continue
                netns, address = pairs[key]
                family = family_of(address)
                try:
                    self._socket(netns, family).sendto(
                        _echo_request(family, self.ident, number, size), (address, 0))
                except OSError:
                    pass  # no route or refused: it stays unanswered
            self._collect(keys, answered, wanted, time.monotonic() + deadline / tries)
            if wanted <= set(answered):
                if len(wanted) < len(keys):
                    self._collect(keys, answered, set(keys), time.monotonic() + 1.0)
                break
        return {key: key in answered for key in keys}

    def _collect(self, keys, answered, wanted, until):
        while not wanted <= set(answered) and time.monotonic() < until:
            ready, _, _ = select.select(list(self.sockets.values()), [], [], 0.05)
            for s in ready:
                try:
                    data, address = s.recvfrom(2048)
                except OSError:
                    continue
                if s.family == socket.AF_INET:
                    data = data[(data[0] & 15) * 4:]
                kind, _, _, ident, number = struct.unpack_from("!BBHHH", data)
                if kind in (0, 129) and ident == self.ident and number < len(keys):
                    answered[keys[number]] = address[0]


def probe(pairs, deadline=5.0, tries=1, size=56):
    """Prober.probe() with sockets that last for this one call."""
    prober = Prober()
    try:
        return prober.probe(pairs, deadline, tries, size)
    finally:
        prober.close()


# ---- stream
@dataclasses.dataclass
class Flow:
    """One direction of a stream, and what became of its packets."""

    name: str
    sender: socket.socket
    receiver: socket.socket
    target: tuple
    sent: int = 0
    refused: int = 0  # the sender's own host would not take the packet
    seen: set = dataclasses.field(default_factory=set)
    duplicates: int = 0
    last: float = 0.0
    longest_gap: float = 0.0

    @property
    def lost(self):
        return self.sent - len(self.seen)

    def missing(self, limit=10):
        return [n for n in range(self.sent) if n not in self.seen][:limit]


class Stream:
    """UDP packets with sequence numbers, `rate` a second on every flow, until stop().

    flows: {name: (source netns, destination netns, destination address)}. The sockets exist before
    the first packet leaves, so nothing is lost but in between."""

    def __init__(self, flows, rate=50, size=100):
        self.period = 1.0 / rate
        self.size = size
        self.flows = []
        for name, (source, target, address) in flows.items():
            family = socket.AF_INET if family_of(address) == 4 else socket.AF_INET6
            receiver = target.socket(family, socket.SOCK_DGRAM)
            receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
            receiver.bind((address, 0))
            receiver.setblocking(False)
            sender = source.socket(family, socket.SOCK_DGRAM)
            self.flows.append(Flow(name, sender, receiver, receiver.getsockname()))
        self.by_fd = {flow.receiver.fileno(): flow for flow in self.flows}
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def _send(self):
        for flow in self.flows:
            data = struct.pack("!Q", flow.sent).ljust(self.size, b"s")
            flow.sent += 1
            try:
                flow.sender.sendto(data, flow.target)
            except OSError:
                flow.refused += 1

    def _receive(self, timeout):
        ready, _, _ = select.select(list(self.by_fd), [], [], max(timeout, 0))
        now = time.monotonic()
        for fd in ready:
            flow = self.by_fd[fd]
            while True:
                try:
                    data = flow.receiver.recv(2048)
                except BlockingIOError:
                    break
                number, = struct.unpack_from("!Q", data)
                if number in flow.seen:
                    flow.duplicates += 1
                flow.seen.add(number)
                if flow.last:
                    flow.longest_gap = max(flow.longest_gap, now - flow.last)
                flow.last = now

    def _run(self):
        due = time.monotonic()
        while not self.stopping.is_set():
            now = time.monotonic()
            if now >= due:
                self._send()
                # Late (the machine was busy): the rate is kept from here on, no burst follows.
                due = max(due + self.period, now)
            self._receive(due - time.monotonic())

    def mark(self):
        """Where every flow is now; for lost_since()."""
        return {flow.name: flow.sent for flow in self.flows}

    def lost_between(self, start, end):
        """{flow: sequence numbers lost} between two marks; ask after stop(), or a second after 'end'."""
        found = {}
        for flow in self.flows:
            lost = [n for n in range(start[flow.name], end[flow.name]) if n not in flow.seen]
            if lost:
                found[flow.name] = lost
        return found

    def sent(self):
        return sum(flow.sent for flow in self.flows)

    def stop(self, drain=1.0):
        """Stops sending, waits for what is under way, closes; gives back the flows."""
        self.stopping.set()
        self.thread.join()
        until = time.monotonic() + drain
        while time.monotonic() < until and any(flow.lost for flow in self.flows):
            self._receive(0.05)
        for flow in self.flows:
            flow.sender.close()
            flow.receiver.close()
        return self.flows

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if not self.stopping.is_set():
            self.stop(drain=0)
