"""Whole truth tables of real packets: every pod to every pod, every port and protocol, in one process.

    with Prober(pods, ports=(80, 81)) as prober:
        result = prober.probe(prober.pairs())
        result[Probe("x/a", "y/b", "tcp", 80, 4)]     -> "open", "refused", "silent" or "arrived"

Servers and clients are sockets opened inside the pods' namespaces and driven by one epoll loop; no process and
no thread is started. A TCP probe is a connection and a banner that says who answered, a UDP probe an echo,
an SCTP probe an INIT that is answered with INIT ACK (by hand, the kernel needs no SCTP: sctp.py). Every
probe has a source port of its own that no earlier probe had, so connection tracking sees a new flow.
"""

import dataclasses
import errno
import itertools
import os
import resource
import select
import socket
import struct
import time
import typing

from . import sctp

PORTS = (80, 81)
PROTOCOLS = ("tcp", "udp", "sctp")
FAMILIES = (4, 6)
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
# How long a probe that is to be denied has to prove otherwise. What the kernel delivered is read before the
# verdict however late this process runs, so a busy machine makes no probe silent.
DENIED_SECONDS = 0.12
# How long one that is to be allowed has; it is sent again meanwhile.
ALLOWED_SECONDS = 3.0
AGAIN_SECONDS = 0.5
MAGIC = b"canal"
IP_RECVERR, IPV6_RECVERR = 11, 25

OPEN, REFUSED, SILENT, ARRIVED = "open", "refused", "silent", "arrived"


class Probe(typing.NamedTuple):
    """One question. `target` is the name of a place, or an address when it is none of ours."""

    source: str
    target: str
    protocol: str
    port: int
    family: int

    def __str__(self):
        return f"{self.source} -> {self.target} {self.protocol}/{self.port} IPv{self.family}"


@dataclasses.dataclass
class Place:
    """Where packets come from and go to: a pod, a node, a host outside."""

    name: str
    netns: object
    ips: dict  # {family: address}

    @classmethod
    def of(cls, thing):
        """From a lab.Pod or a lab.Node."""
        if isinstance(thing, cls):
            return thing
        if hasattr(thing, "key"):
            return cls(thing.key, thing.netns, {f: thing.ip(f) for f in FAMILIES if thing.ip(f)})
        return cls(thing.name, thing.netns, {4: thing.ip4, 6: thing.ip6})


class _SourcePorts:
    """Never the same twice in a while, over all probers of this process."""

    counter = itertools.count(int.from_bytes(os.urandom(2), "big"))

    @classmethod
    def take(cls):
        return 20000 + next(cls.counter) % 12000  # below the range the kernel takes from by itself


class Result(dict):
    """{Probe: state}. `again` holds those that were answered, but not at first; `who` says which place answered."""

    def __init__(self):
        super().__init__()
        self.again = set()
        self.who = {}

    def is_allowed(self, probe):
        """A refusal comes from the destination itself: policy let the packet through."""
        return self[probe] != SILENT

    def open(self):
        return {probe for probe in self if self.is_allowed(probe)}


class _Run:
    """One probe() call: what is asked and what is still open."""

    def __init__(self, number, probes):
        self.number = number
        self.probes = probes
        self.result = Result()
        self.waiting = set(range(len(probes)))
        self.arrived = set()
        self.tries = 0
        self.sockets = []
        self.tags = {}  # SCTP: an INIT's tag comes back in the answer

    def answer(self, index, state, who=None):
        if index not in self.waiting:
            return
        self.waiting.discard(index)
        probe = self.probes[index]
        self.result[probe] = state
        if who:
            self.result.who[probe] = who
        if self.tries > 1:
            self.result.again.add(probe)

    def finish(self):
        for index in self.waiting:
            self.result[self.probes[index]] = ARRIVED if index in self.arrived else SILENT
        for s in self.sockets:
            s.close()
        return self.result


class Prober:
    """Listens on all ports of all `places` from now on; probe() asks."""

    def __init__(self, places, ports=PORTS, silent=()):
        """`silent`: names of places nobody listens in."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 8192 <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (8192, hard))
        self.places = {}
        self.ports = tuple(ports)
        self.epoll = select.epoll()
        self.handlers = {}
        self.listeners = {}  # name: its sockets
        self.raw = {}        # (name, family): raw SCTP socket
        self.run = None
        self.runs = itertools.count(int.from_bytes(os.urandom(3), "big"))
        for place in places:
            self.add(place, listens=Place.of(place).name not in silent)

    # ---- places
    def add(self, place, listens=True, more_ports=()):
        """`more_ports`: listened on here alone, pairs() does not ask them."""
        place = Place.of(place)
        self.places[place.name] = place
        self.listeners[place.name] = []
        ports = (*self.ports, *more_ports) if listens else ()
        with place.netns.entered():
            for family in place.ips:
                raw = socket.socket(AF[family], socket.SOCK_RAW, sctp.PROTO_SCTP)
                raw.setblocking(False)
                self.raw[place.name, family] = raw
                self._listen(place, raw, lambda s, f=family, p=place, on=ports: self._on_sctp(s, f, p, on))
                for port in ports:
                    self._listen_tcp(place, family, port)
                    self._listen_udp(place, family, port)
        return place

    def remove(self, name):
        for s in self.listeners.pop(name):
            self._forget(s)
        del self.places[name]
        for family in FAMILIES:
            self.raw.pop((name, family), None)

    def _listen(self, place, s, handler):
        self.listeners[place.name].append(s)
        self.handlers[s.fileno()] = (s, handler)
        self.epoll.register(s.fileno(), select.EPOLLIN)

    def _forget(self, s):
        fd = s.fileno()
        if fd >= 0 and self.handlers.pop(fd, None):
            self.epoll.unregister(fd)
        s.close()

    def _listen_tcp(self, place, family, port):
        s = socket.socket(AF[family], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((place.ips[family], port))
        s.listen(512)
        banner = place.name.encode()

        def accept(listener):
            while True:
                try:
                    client, _ = listener.accept()
                except BlockingIOError:
                    return
                except OSError:
                    continue
                with client:
                    try:
                        client.send(banner)
                    except OSError:
                        pass

        self._listen(place, s, accept)

    def _listen_udp(self, place, family, port):
        s = socket.socket(AF[family], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((place.ips[family], port))
        banner = place.name.encode()

        def echo(server):
            while True:
                try:
                    text, address = server.recvfrom(256)
                except BlockingIOError:
                    return
                except OSError:
                    continue
                if text[:5] == MAGIC and len(text) >= 13:
                    run, index = struct.unpack_from("!II", text, 5)
                    if self.run and run == self.run.number:
                        self.run.arrived.add(index)
                    try:
                        server.sendto(text[:13] + banner, address)
                    except OSError:
                        pass

        self._listen(place, s, echo)

    # ---- asking
    def pairs(self, sources=None, targets=None, protocols=PROTOCOLS, ports=None, families=FAMILIES):
        """All probes between the places (or those named), without those from a pod to itself."""
        return [Probe(a, b, protocol, port, family)
                for a in (sources or self.places) for b in (targets or self.places) if a != b
                for protocol in protocols for port in (ports or self.ports) for family in families
                if family in self.places[a].ips and (b not in self.places or family in self.places[b].ips)]

    def probe(self, probes, allowed=None, denied_seconds=DENIED_SECONDS, allowed_seconds=ALLOWED_SECONDS):
        """Result for all probes. `allowed`: those that are expected to be answered, they are asked again and
        waited for; all others get `denied_seconds` from the end of the sending on. None: nothing is expected, all get
        that time, and one more try."""
        probes = list(probes)
        run = self.run = _Run(next(self.runs) & 0xFFFFFFFF, probes)
        wanted = {i for i, p in enumerate(probes) if allowed is None or p in allowed}
        try:
            self._send(run, range(len(probes)))
            quiet_at = time.monotonic() + denied_seconds
            give_up = time.monotonic() + (2 * denied_seconds if allowed is None else allowed_seconds)
            again_at = quiet_at if allowed is None else time.monotonic() + AGAIN_SECONDS
            while run.waiting:
                now = time.monotonic()
                open_ = run.waiting & wanted
                until = max(give_up if open_ else quiet_at, quiet_at)
                if open_ and again_at <= now < give_up:
                    self._send(run, sorted(open_))
                    again_at = now + (denied_seconds if allowed is None else AGAIN_SECONDS)
                    quiet_at = max(quiet_at, now + denied_seconds)
                    continue
                if now >= until:
                    break
                self._turn(max(min(until, again_at if open_ else until) - now, 0))
            while self._turn(0):
                pass
        finally:
            self.run = None
            for s in run.sockets:
                self.handlers.pop(s.fileno(), None)
            result = run.finish()
        return result

    def check(self, table, probes=None, **kwargs):
        """Probes and compares with an expected table (tables.Table); AssertionError with the difference."""
        probes = list(self.pairs() if probes is None else probes)
        result = self.probe(probes, table.allowed(probes), **kwargs)
        table.compare(result)
        return result

    def _turn(self, timeout):
        """Handles what is ready; how much that was."""
        try:
            events = self.epoll.poll(timeout, 256)
        except InterruptedError:
            return 0
        for fd, _ in events:
            entry = self.handlers.get(fd)
            if entry is not None:
                entry[1](entry[0])
        return len(events)

    def turn(self, seconds=0.0):
        """Lets the servers answer for a while, for tests with clients of their own."""
        until = time.monotonic() + seconds
        while self._turn(max(until - time.monotonic(), 0)) or time.monotonic() < until:
            pass

    def _send(self, run, indexes):
        run.tries += 1
        by_source = {}
        for index in indexes:
            by_source.setdefault(run.probes[index].source, []).append(index)
        for source, mine in by_source.items():
            place = self.places[source]
            with place.netns.entered():
                self._send_from(run, place, mine)
            # Answered at once: on a busy machine tracking forgets a datagram before the last one is sent.
            while self._turn(0):
                pass

    def _send_from(self, run, place, indexes):
        udp = {}
        high, source_port = _SourcePorts.take() << 16, _SourcePorts.take()
        for index in indexes:
            probe = run.probes[index]
            target = self.places.get(probe.target)
            address = target.ips[probe.family] if target else probe.target
            if probe.protocol == "tcp":
                self._connect(run, index, probe, address)
            elif probe.protocol == "udp":
                if probe.family not in udp:
                    udp[probe.family] = self._udp_client(run, place, probe.family)
                self._sendto(udp[probe.family], MAGIC + struct.pack("!II", run.number, index), (address, probe.port))
            else:
                run.tags[high | index] = index
                self._sendto(self.raw[place.name, probe.family],
                             sctp.init(source_port, probe.port, high | index), (address, 0))

    @staticmethod
    def _sendto(s, text, address):
        try:
            s.sendto(text, address)
        except OSError:
            pass  # an ICMP error for an earlier packet, or no route: it stays unanswered

    def _client(self, run, s, handler, events):
        run.sockets.append(s)
        self.handlers[s.fileno()] = (s, handler)
        self.epoll.register(s.fileno(), events)

    def _connect(self, run, index, probe, address):
        s = socket.socket(AF[probe.family], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Closing resets: no TIME_WAIT is left in the pod, the tracked flow ends.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def ready(client):
            try:
                banner = client.recv(256)
                run.answer(index, OPEN if banner else REFUSED, banner.decode())
            except BlockingIOError:
                return
            except (ConnectionRefusedError, ConnectionResetError):
                run.answer(index, REFUSED)
            except OSError as error:
                if error.errno == errno.ENOTCONN:  # still connecting
                    return
                run.answer(index, SILENT)  # no route, unreachable
            self.handlers.pop(client.fileno(), None)
            client.close()

        s.connect_ex((address, probe.port))
        self._client(run, s, ready, select.EPOLLIN)

    def _udp_client(self, run, place, family):
        s = socket.socket(AF[family], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        for _ in range(100):
            try:
                s.bind((place.ips[family], _SourcePorts.take()))
                break
            except OSError:
                continue

        level, option = (socket.SOL_IP, IP_RECVERR) if family == 4 else (socket.IPPROTO_IPV6, IPV6_RECVERR)
        s.setsockopt(level, option, 1)  # ICMP errors come with the packet they are about

        def read(client, flags, state):
            while True:
                try:
                    text, _, _, _ = client.recvmsg(256, 0, flags)
                except BlockingIOError:
                    return
                except OSError:
                    continue
                if text[:5] == MAGIC and len(text) >= 13:
                    number, index = struct.unpack_from("!II", text, 5)
                    if number == run.number:
                        run.answer(index, state, text[13:].decode() or None)

        def ready(client):
            read(client, 0, OPEN)
            read(client, socket.MSG_ERRQUEUE, REFUSED)

        self._client(run, s, ready, select.EPOLLIN)
        return s

    # ---- SCTP, both ends of it
    def _on_sctp(self, s, family, place, ports):
        while True:
            try:
                text, address = s.recvfrom(512)
            except BlockingIOError:
                return
            except OSError:
                continue
            if family == 4:
                text = text[(text[0] & 15) * 4:]
            found = sctp.parse(text)
            if found:
                self._sctp_packet(s, address[0], place, ports, found)

    def _sctp_packet(self, s, address, place, ports, found):
        source_port, port, tag, kind, body = found
        tags = self.run.tags if self.run else {}
        if kind == sctp.INIT and len(body) >= 4:
            asked, = struct.unpack_from("!I", body)
            if asked in tags:
                self.run.arrived.add(tags[asked])
            if port in ports:
                self._sendto(s, sctp.init_ack(port, source_port, asked, 7, place.name.encode()), (address, 0))
            elif ports:
                self._sendto(s, sctp.packet(port, source_port, asked, sctp.ABORT), (address, 0))
        elif tag in tags and self.run.probes[tags[tag]].source == place.name:
            # Elsewhere it is one that a masquerading node took for its own.
            if kind == sctp.INIT_ACK:
                self.run.answer(tags[tag], OPEN, body[20:].decode(errors="replace"))
            elif kind == sctp.ABORT:
                self.run.answer(tags[tag], REFUSED)

    # ---- end
    def close(self):
        for name in list(self.places):
            self.remove(name)
        self.epoll.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

