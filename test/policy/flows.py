"""Flows that stay open, with messages in both directions all the time: what a change of policy does to them.

    with OpenFlows(rate=50) as flows:
        flow = flows.open("tcp", client, server, 80)      # places
        flows.wait_both_ways(flow)
        ...
        flow.received[CLIENT]                             # times at which the client got something
"""

import itertools
import socket
import struct
import threading
import time

from lab import LabError, wait_for

from . import sctp
from .prober import AF, Place

CLIENT, SERVER = 0, 1
_ports = itertools.count(33000)


class Flow:
    """`received[end]`: when that end received something from the other one. Both ends send numbered messages."""

    def __init__(self, name):
        self.name = name
        self.sent = [0, 0]
        self.received = [[], []]
        self.dead = [False, False]

    def last(self, end):
        return self.received[end][-1] if self.received[end] else 0.0

    def is_alive_since(self, moment):
        return self.last(CLIENT) > moment and self.last(SERVER) > moment

    def longest_gap(self, since):
        """The longest time either end heard nothing, until its last message."""
        gaps = [0.0]
        for times in self.received:
            mine = [since, *[t for t in times if t > since]]
            gaps += [b - a for a, b in zip(mine, mine[1:])]
        return max(gaps)

    def __repr__(self):
        return f"<{self.name} sent {self.sent} received {[len(r) for r in self.received]}>"


class _Sockets(Flow):
    """TCP and UDP: one socket at either end."""

    def __init__(self, name, ends):
        super().__init__(name)
        self.ends = ends  # [(socket, peer address or None)]
        for s, _ in ends:
            s.setblocking(False)

    def send(self, end):
        s, peer = self.ends[end]
        message = struct.pack("!Q", self.sent[end])
        self.sent[end] += 1
        try:
            s.sendto(message, peer) if peer else s.send(message)
        except BlockingIOError:
            pass
        except OSError:
            self.dead[end] = True

    def receive(self, end, now):
        s, peer = self.ends[end]
        while True:
            try:
                if not s.recv(4096):
                    self.dead[end] = True
                    return
            except BlockingIOError:
                return
            except OSError:
                if not peer:
                    self.dead[end] = True
                    return
                continue
            self.received[end].append(now)

    def close(self):
        for s, _ in self.ends:
            s.close()


class _Sctp(Flow):
    """An association made by hand on raw sockets; all it does is what connection tracking wants to see."""

    def __init__(self, name, places, family, port, source_port, via=None):
        super().__init__(name)
        self.family, self.ports = family, [source_port, port]
        self.tags = [0x11110000 | source_port, 0x22220000 | source_port]
        client, server = (p.ips[family] for p in places)
        self.peers = [via or (server, port), (client, source_port)]  # as either end sees the other
        self.sockets = []
        for place in places:
            s = place.netns.socket(AF[family], socket.SOCK_RAW, sctp.PROTO_SCTP)
            s.setblocking(False)
            self.sockets.append(s)
        self.is_up = False

    def _put(self, end, text):
        try:
            self.sockets[end].sendto(text, (self.peers[end][0], 0))
        except OSError:
            pass

    def _get(self, end):
        """(tag, kind) of every packet of this association."""
        while True:
            try:
                text, _ = self.sockets[end].recvfrom(512)
            except BlockingIOError:
                return
            except OSError:
                continue
            found = sctp.parse(text[(text[0] & 15) * 4:] if self.family == 4 else text)
            if found and found[:2] == (self.peers[end][1], self.ports[end]):
                yield found[2], found[3]

    def connect(self, deadline=10):
        """INIT, INIT ACK, COOKIE ECHO, COOKIE ACK."""
        client, server = self.ports
        there = self.peers[CLIENT][1]
        steps = ((CLIENT, sctp.init(client, there, self.tags[CLIENT]), sctp.INIT),
                 (SERVER, sctp.init_ack(server, client, self.tags[CLIENT], self.tags[SERVER]), sctp.INIT_ACK),
                 (CLIENT, sctp.packet(client, there, self.tags[SERVER], sctp.COOKIE_ECHO, b"cookie.."),
                  sctp.COOKIE_ECHO),
                 (SERVER, sctp.packet(server, client, self.tags[CLIENT], sctp.COOKIE_ACK), sctp.COOKIE_ACK))
        for end, text, kind in steps:
            self._put(end, text)
            wait_for(lambda e=1 - end, k=kind: any(got == k for _, got in self._get(e)), deadline,
                     f"{self.name}: chunk {kind}", interval=0.002)
        self.is_up = True

    def send(self, end):
        self.sent[end] += 1
        self._put(end, sctp.data(self.ports[end], self.peers[end][1], self.tags[1 - end], self.sent[end], b"message."))

    def receive(self, end, now):
        for tag, kind in self._get(end):
            if kind == sctp.DATA and tag == self.tags[end]:
                self.received[end].append(now)

    def close(self):
        for s in self.sockets:
            s.close()


class OpenFlows:
    """A thread that sends on all flows, `rate` messages a second each way, and notes what arrives."""

    def __init__(self, rate=50):
        self.period = 1.0 / rate
        self.flows = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def open(self, protocol, client, server, port, family=4, via=None):
        """Opened when this returns; LabError when it cannot be. `via`: (address, port) the client goes to instead;
        somebody's DNAT makes the server's of it."""
        client, server = Place.of(client), Place.of(server)
        name = f"{protocol} {client.name} -> {server.name}:{port} IPv{family}" + (f" via {via[0]}:{via[1]}" if via else "")
        if protocol == "sctp":
            flow = self._sctp(name, client, server, port, family, via)
        else:
            make = {"tcp": self._tcp, "udp": self._udp}[protocol]
            flow = make(name, client, server, (server.ips[family], port), via)
        with self.lock:
            self.flows.append(flow)
        return flow

    @staticmethod
    def _tcp(name, client, server, address, via):
        family = 6 if ":" in address[0] else 4
        listener = server.netns.socket(AF[family], socket.SOCK_STREAM)
        caller = client.netns.socket(AF[family], socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
            listener.settimeout(2)
            caller.settimeout(2)
            caller.connect(via or address)
            answerer, _ = listener.accept()
        except OSError as error:
            caller.close()
            raise LabError(f"{name}: {error}") from None
        finally:
            listener.close()
        for s in (caller, answerer):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Sockets(name, [(caller, None), (answerer, None)])

    @staticmethod
    def _udp(name, client, server, address, via):
        family = 6 if ":" in address[0] else 4
        caller = client.netns.socket(AF[family], socket.SOCK_DGRAM)
        answerer = server.netns.socket(AF[family], socket.SOCK_DGRAM)
        caller.bind((client.ips[family], next(_ports)))
        answerer.bind(address)
        return _Sockets(name, [(caller, via or answerer.getsockname()), (answerer, caller.getsockname())])

    @staticmethod
    def _sctp(name, client, server, port, family, via):
        flow = _Sctp(name, [client, server], family, port, next(_ports), via)
        try:
            flow.connect()
        except LabError:
            flow.close()
            raise
        return flow

    def _run(self):
        due = time.monotonic()
        while not self.stopping.is_set():
            with self.lock:
                flows = list(self.flows)
            now = time.monotonic()
            for flow in flows:
                # The client first: a reply to a flow that is not known yet would be one of its own.
                flow.send(CLIENT)
                if flow.received[SERVER]:
                    flow.send(SERVER)
            for flow in flows:
                for end in (CLIENT, SERVER):
                    flow.receive(end, time.monotonic())
            due = max(due + self.period, now)
            time.sleep(max(due - time.monotonic(), 0.001))

    def wait_both_ways(self, *flows, deadline=5):
        """Every flow has carried messages both ways from now on."""
        start = time.monotonic()
        for flow in flows or self.flows:
            wait_for(lambda f=flow: f.is_alive_since(start), deadline, f"{flow}: messages both ways", interval=0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        for flow in self.flows:
            flow.close()


# ---- what became of them
def assert_stopped(stopped, moment, within=1.0, watch=0.5):
    """Nothing arrives at either end later than that, however often both ends send."""
    time.sleep(max(moment + within + watch - time.monotonic(), 0))
    for flow in stopped:
        for end in (CLIENT, SERVER):
            assert flow.last(end) < moment + within, (flow, end, flow.last(end) - moment)
        assert flow.sent[CLIENT] > 0 and flow.sent[SERVER] > 0


def assert_untouched(kept, moment):
    now = time.monotonic()
    for flow in kept:
        assert flow.is_alive_since(now - 1), flow
        assert flow.longest_gap(moment) < 1, (flow, flow.longest_gap(moment))
