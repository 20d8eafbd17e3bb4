"""Certificates of a test server: an authority, the server's certificate for the loopback, and one for its clients, by openssl.

They live in the server's folder for as long as the run does. A key and its certificate stand in one PEM file, which is the form that both
Kafka's key stores and librdkafka take; the keys are elliptic, for RSA keys would take a second to make.
"""

import dataclasses
import pathlib
import shutil

from . import cache

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 3650]


@dataclasses.dataclass(frozen=True)
class Certificates:
    """Where the files are."""

    folder: pathlib.Path

    @property
    def authority(self) -> pathlib.Path:
        """The certificate that clients and server trust."""
        return self.folder / "ca.pem"

    @property
    def server(self) -> pathlib.Path:
        """Key and certificate of the server."""
        return self.folder / "server.pem"

    @property
    def client(self) -> pathlib.Path:
        """Key and certificate of a client."""
        return self.folder / "client.pem"


def made_in(folder: pathlib.Path) -> Certificates:
    """The certificates of `folder`, made unless they are there."""
    if not folder.is_dir():
        half = folder.with_name(folder.name + ".half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        _make(half)
        half.rename(folder)
    return Certificates(folder)


def _make(folder: pathlib.Path) -> None:
    authority = ["-x509", "-subj", "/CN=weir-test-authority", "-keyout", "ca.key", "-out", "ca.pem"]
    _openssl(folder, "req", *NEW_KEY, *authority)
    for name in ("server", "client"):
        _openssl(folder, "req", *NEW_KEY, "-subj", f"/CN=weir-test-{name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / "extensions").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n", encoding="utf-8")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 3650, "-extfile", "extensions"]
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")
        both = (folder / f"{name}.key").read_text(encoding="utf-8") + (folder / f"{name}.crt").read_text(encoding="utf-8")
        (folder / f"{name}.pem").write_text(both, encoding="utf-8")


def _openssl(folder: pathlib.Path, *arguments) -> None:
    cache.call(["openssl", *arguments], "making certificates", cwd=folder)
