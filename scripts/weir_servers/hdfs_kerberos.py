"""HDFS that asks everybody for Kerberos, one cluster for each protection of what is transferred. Permissions are enforced.

Anybody may make folders in `/`; what is in a folder belongs to who made it.
"""

from . import cache, kdc
from .hdfs import Hdfs
from .server import Site


class HdfsKerberos(Hdfs):
    """A cluster on which everybody is known and nothing else is protected."""

    name = "hdfs-kerberos"
    special = True
    needs = ("kdc",)
    protection = "authentication"

    def settle(self, site: Site) -> None:
        opened = site.folder / "opened"
        if not opened.exists():
            self.admin(site, ["dfs", "-chmod", "777", "/"])
            opened.touch()

    def admin(self, site: Site, words: list[str], env: dict | None = None) -> str:
        with cache.locked(site.folder / "tickets.lock"):
            environment = kdc.log_in(site.peers["kdc"], "nn", site.folder / "tickets")
            return super().admin(site, words, {**(env or {}), **environment})

    def core(self, site: Site) -> dict:
        asked = {"hadoop.security.authentication": "kerberos", "hadoop.security.authorization": "true"}
        return {**super().core(site), **asked, "hadoop.rpc.protection": self.protection}

    def client(self, site: Site) -> dict:
        return {**super().client(site), "dfs.namenode.kerberos.principal": principal("nn"), "dfs.data.transfer.protection": self.protection}

    def server(self, site: Site) -> dict:
        keytabs = site.peers["kdc"]["keytabs"]
        return {
            **super().server(site),
            **self.client(site),
            "dfs.permissions.enabled": "true",
            "dfs.namenode.keytab.file": f"{keytabs}/nn.keytab",
            "dfs.datanode.kerberos.principal": principal("dn"),
            "dfs.datanode.keytab.file": f"{keytabs}/dn.keytab",
            "dfs.web.authentication.kerberos.principal": principal("HTTP"),
            "dfs.web.authentication.kerberos.keytab": f"{keytabs}/nn.keytab",
            "dfs.block.access.token.enable": "true",
            "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
            # DataNodes of a real cluster use a privileged port or HTTPS.
            "ignore.secure.ports.for.testing": "true",
            "dfs.http.policy": "HTTP_ONLY",
        }

    def java(self, site: Site, *arguments, place: str = "conf") -> list:
        realm = (f"-Djava.security.krb5.conf={site.peers['kdc']['krb5_conf']}", "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED")
        return super().java(site, *realm, *arguments, place=place)


class HdfsKerberosIntegrity(HdfsKerberos):
    """The same, with everything signed."""

    name = "hdfs-kerberos-integrity"
    protection = "integrity"


class HdfsKerberosPrivacy(HdfsKerberos):
    """The same, with everything encrypted."""

    name = "hdfs-kerberos-privacy"
    protection = "privacy"


def principal(service: str) -> str:
    """A service of the one host there is."""
    return f"{service}/localhost@{kdc.REALM}"
