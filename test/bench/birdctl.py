"""BIRD's control socket from Python, so that a measurement does not pay for starting birdc."""

import socket


class BirdControl:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rb")
        self._reply()

    def _reply(self):
        lines = []
        while True:
            line = self.file.readline().decode()
            if not line:
                raise ConnectionError("BIRD closed its control socket")
            lines.append(line.rstrip("\n"))
            if line[:4].isdigit() and line[4:5] == " ":
                return lines

    def command(self, text):
        self.sock.sendall(text.encode() + b"\n")
        return self._reply()

    def close(self):
        self.sock.close()
