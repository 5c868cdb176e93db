"""Certificates, tokens and kubeconfig files, made anew at each start (Kubernetes "PKI certificates and
requirements", "Organizing Cluster Access Using kubeconfig Files")."""

import datetime
import ipaddress
import json
import os
import secrets
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_NAMES = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
DAY = datetime.timedelta(days=1)


def _name(common_name, organisation=None):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def write(path, data, mode=0o600):
    """Replace a file in one step, so that a reader never sees half of it."""
    temporary = path.with_name(path.name + ".new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
        out.write(data)
    os.replace(temporary, path)


class Authority:
    """A CA whose key lives in the directory given."""

    def __init__(self, directory):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name("canal-test-ca")
        self.cert = self._build(self.name, self.key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(self.key, hashes.SHA256())
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM)
        write(self.dir / "ca.crt", self.pem, 0o644)

    def _build(self, subject, public_key):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
                .public_key(public_key).serial_number(x509.random_serial_number())
                .not_valid_before(now - DAY).not_valid_after(now + 365 * DAY)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                               critical=False))

    def _issue(self, stem, subject, usage, names=()):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._build(subject, key.public_key()).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        cert = builder.sign(self.key, hashes.SHA256())
        write(self.dir / f"{stem}.crt", cert.public_bytes(serialization.Encoding.PEM), 0o644)
        write(self.dir / f"{stem}.key", key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def server(self, addresses):
        names = [x509.DNSName(name) for name in SERVER_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(a)) for a in
                  sorted({"127.0.0.1", "::1", *addresses}) if a not in ("0.0.0.0", "::")]
        self._issue("server", _name("kube-apiserver"), ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, stem, user, organisation=None):
        self._issue(stem, _name(user, organisation), ExtendedKeyUsageOID.CLIENT_AUTH)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir / "server.crt", self.dir / "server.key")
        context.load_verify_locations(self.dir / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context


class Tokens:
    """Bearer tokens and whose they are. The files below the directory follow every rotation."""

    def __init__(self, directory):
        self.dir = Path(directory)
        self.users = {}

    def rotate(self, user, keep_old=False):
        """A new token for 'user'; the old ones stop working unless 'keep_old'."""
        if not keep_old:
            self.users = {token: name for token, name in self.users.items() if name != user}
        token = secrets.token_urlsafe(32)
        self.users[token] = user
        (self.dir / "tokens").mkdir(exist_ok=True)
        write(self.dir / "tokens" / user, token.encode())
        if user == "canal":  # the in-cluster layout of a service account
            mount = self.dir / "serviceaccount"
            mount.mkdir(exist_ok=True)
            write(mount / "token", token.encode())
            write(mount / "ca.crt", (self.dir / "ca.crt").read_bytes(), 0o644)
            write(mount / "namespace", b"kube-system", 0o644)
        return token


def kubeconfig(server, user, ca=None):
    """A kubeconfig document (JSON, which is YAML). 'user' is the user entry."""
    cluster = {"server": server}
    if ca:
        cluster["certificate-authority"] = str(ca)
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "canal", "preferences": {},
        "clusters": [{"name": "canal", "cluster": cluster}],
        "users": [{"name": "canal", "user": user}],
        "contexts": [{"name": "canal", "context": {"cluster": "canal", "user": "canal"}}]}, indent=1) + "\n"
