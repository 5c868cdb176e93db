"""Starts the API server: `PYTHONPATH=test python3 -P -m apiserver --dir DIR`.

Writes into DIR: ca.crt, server and client certificates, tokens/, serviceaccount/ (the in-cluster layout),
admin.kubeconfig (client certificate), token.kubeconfig, http.kubeconfig, api.sock (control socket) and, once
it answers, ready.json.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
from pathlib import Path

from . import tls
from .admin import documents
from .server import App, Options
from .store import Store


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(prog="apiserver", description="Kubernetes API server for tests")
    parser.add_argument("--dir", required=True, help="where certificates, kubeconfigs and the socket go")
    parser.add_argument("--listen", action="append", default=[], metavar="HOST:PORT",
                        help="HTTPS address; repeatable; default 127.0.0.1:0")
    parser.add_argument("--http", action="append", default=[], metavar="HOST:PORT", help="plain HTTP address")
    parser.add_argument("--load", action="append", default=[], metavar="FILE", help="objects, JSON or YAML")
    parser.add_argument("--bookmark-interval", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--history", type=int, default=10000, help="changes kept per kind for watch resume")
    parser.add_argument("--continue-ttl", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--gzip-min", type=int, default=128 * 1024, metavar="BYTES")
    parser.add_argument("--gone-as-status", action="store_true",
                        help="answer a watch that is too old with HTTP 410 rather than an ERROR event")
    parser.add_argument("--no-auth", action="store_true", help="HTTPS without credentials is anonymous")
    parser.add_argument("--seed", type=int, help="for generated names and uids")
    return parser.parse_args(argv)


def split_address(text):
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdigit():
        raise SystemExit(f"apiserver: {text!r} is not HOST:PORT")
    if _in_root_namespace() and host not in ("127.0.0.1", "::1", "localhost"):
        raise SystemExit(f"apiserver: {text}: outside of a network namespace only loopback is allowed")
    return host, int(port)


def _in_root_namespace():
    own = os.stat("/proc/self/ns/net").st_ino
    try:
        return own == os.stat("/proc/1/ns/net").st_ino
    except OSError:  # a container may hide PID 1's; then only a namespace with a name is known not to be it
        return all(own != inode for inode in map(_inode, Path("/run/netns").glob("*")))


def _inode(path):
    """None when another lab has just taken it away."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _url(scheme, host, port):
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def write_kubeconfigs(directory, https, http, token):
    ca = directory / "ca.crt"
    certificate = {"client-certificate": str(directory / "admin.crt"), "client-key": str(directory / "admin.key")}
    if https:
        tls.write(directory / "admin.kubeconfig", tls.kubeconfig(https, certificate, ca).encode())
        tls.write(directory / "token.kubeconfig", tls.kubeconfig(
            https, {"token": token, "tokenFile": str(directory / "tokens" / "canal")}, ca).encode())
    if http:
        tls.write(directory / "http.kubeconfig", tls.kubeconfig(http, {}).encode())


async def serve(arguments):
    directory = Path(arguments.dir).resolve()
    https = [split_address(text) for text in arguments.listen or ["127.0.0.1:0"]]
    http = [split_address(text) for text in arguments.http]
    authority = tls.Authority(directory)
    authority.server([host for host, _ in https if host != "localhost"])
    authority.client("admin", "admin", "system:masters")
    tokens = tls.Tokens(directory)
    token = tokens.rotate("canal")
    store = Store(arguments.history, arguments.continue_ttl, seed=arguments.seed)
    options = Options(directory=directory, bookmark_interval=arguments.bookmark_interval,
                      history=arguments.history, continue_ttl=arguments.continue_ttl,
                      gzip_min=arguments.gzip_min, gone_as_status=arguments.gone_as_status,
                      require_auth=not arguments.no_auth, seed=arguments.seed)
    for name in arguments.load:
        for body in documents(Path(name).read_bytes()):
            store.load(body)
    app = App(store, tokens, options)
    context = authority.context()
    urls = {"https": [], "http": []}
    for scheme, addresses, tls_context in (("https", https, context), ("http", http, None)):
        for host, port in addresses:
            listener = await app.listen(scheme, host, port, tls_context)
            urls[scheme].append(_url(scheme, host, listener.port))
    await app.listen_control(str(directory / "api.sock"))
    write_kubeconfigs(directory, urls["https"][0], (urls["http"] or [None])[0], token)
    tls.write(directory / "ready.json", json.dumps({"pid": os.getpid(), **urls}).encode(), 0o644)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def main():
    # Hundreds of thousands of long-lived objects: full collections would only cost time.
    gc.set_threshold(50000, 20, 1000)
    arguments = parse_arguments()
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
