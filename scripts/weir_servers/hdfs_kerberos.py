"""HDFS that asks everybody for Kerberos: a cluster for each protection of what is transferred, one of another realm, and one in high
availability. Permissions are enforced.

Anybody may make folders in `/`; what is in a folder belongs to who made it.
"""

from . import cache, kdc
from .hdfs import Hdfs
from .hdfs_ha import HdfsHa
from .server import Site


class HdfsKerberos(Hdfs):
    """A cluster on which everybody is known and nothing else is protected."""

    name = "hdfs-kerberos"
    special = True
    needs = ("kdc",)
    protection = "authentication"

    def settle(self, site: Site) -> None:
        super().settle(site)
        opened = site.folder / "opened"
        if not opened.exists():
            self.admin(site, ["dfs", "-chmod", "777", "/"])
            opened.touch()

    def admin(self, site: Site, words: list[str], env: dict | None = None) -> str:
        with cache.locked(site.folder / "tickets.lock"):
            environment = kdc.log_in(self.realm(site), "nn", site.folder / "tickets")
            return super().admin(site, words, {**(env or {}), **environment})

    def core(self, site: Site) -> dict:
        asked = {"hadoop.security.authentication": "kerberos", "hadoop.security.authorization": "true"}
        return {**super().core(site), **asked, "hadoop.rpc.protection": self.protection}

    def realm(self, site: Site) -> dict[str, str]:
        """The addresses of its KDC."""
        return site.peers[self.needs[0]]

    def principal(self, site: Site, service: str) -> str:
        """A service of the one host there is."""
        return f"{service}/localhost@{self.realm(site)['realm']}"

    def client(self, site: Site) -> dict:
        of_namenode = {"dfs.namenode.kerberos.principal": self.principal(site, "nn")}
        return {**super().client(site), **of_namenode, "dfs.data.transfer.protection": self.protection}

    def server(self, site: Site) -> dict:
        keytabs = self.realm(site)["keytabs"]
        return {
            **super().server(site),
            **self.client(site),
            "dfs.permissions.enabled": "true",
            "dfs.namenode.keytab.file": f"{keytabs}/nn.keytab",
            "dfs.datanode.kerberos.principal": self.principal(site, "dn"),
            "dfs.datanode.keytab.file": f"{keytabs}/dn.keytab",
            "dfs.web.authentication.kerberos.principal": self.principal(site, "HTTP"),
            "dfs.web.authentication.kerberos.keytab": f"{keytabs}/nn.keytab",
            "dfs.block.access.token.enable": "true",
            "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
            # DataNodes of a real cluster use a privileged port or HTTPS.
            "ignore.secure.ports.for.testing": "true",
            "dfs.http.policy": "HTTP_ONLY",
        }

    def java(self, site: Site, *arguments, place: str = "conf") -> list:
        realm = (f"-Djava.security.krb5.conf={self.realm(site)['krb5_conf']}", "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED")
        return super().java(site, *realm, *arguments, place=place)


class HdfsKerberosIntegrity(HdfsKerberos):
    """The same, with everything signed."""

    name = "hdfs-kerberos-integrity"
    protection = "integrity"


class HdfsKerberosPrivacy(HdfsKerberos):
    """The same, with everything encrypted."""

    name = "hdfs-kerberos-privacy"
    protection = "privacy"


class HdfsKerberosB(HdfsKerberos):
    """A cluster of another realm, with the same name."""

    name = "hdfs-kerberos-b"
    needs = ("kdc-b",)


class HdfsKerberosHa(HdfsKerberos, HdfsHa):
    """Two NameNodes that ask for Kerberos."""

    name = "hdfs-kerberos-ha"
