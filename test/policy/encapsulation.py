"""A pod that makes IPIP and VXLAN packets itself, as only nodes should."""

import socket
import struct

from lab import Capture, wait_for


def encapsulated(world, source, target):
    """Which of IPIP and VXLAN packets made by a pod arrive."""
    source, target = world.pod(source), world.pod(target)
    inner = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, 17, 0, socket.inet_aton("10.9.9.9"),
                        socket.inet_aton(target.ip())) + struct.pack("!HHHH", 1, 1, 8, 0)
    with Capture(target.netns, "eth0") as capture:
        raw = source.netns.socket(socket.AF_INET, socket.SOCK_RAW, 4)
        udp = source.netns.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw.sendto(inner, (target.ip(), 0))
        udp.sendto(b"vxlan", (target.ip(), 4789))
        udp.sendto(b"honest", (target.ip(), 4788))
        raw.close()
        udp.close()
        seen = []
        wait_for(lambda: seen.extend(p for p in capture.packets() if not p.outgoing)
                 or any(b"honest" in p.payload for p in seen), 5, "the honest packet")
    return {name for name, ok in (("ipip", any(p.protocol == 4 for p in seen)),
                                  ("vxlan", any(b"vxlan" in p.payload for p in seen))) if ok}
