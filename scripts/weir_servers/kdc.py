"""Kerberos KDCs (MIT's), one for each of two realms, with the principals of an HDFS and of two users, each with a keytab."""

import os
import pathlib
import shutil
import tempfile

from . import cache
from .process import Program
from .server import Server, Site

USERS = ("alice", "bob")
TICKET_LIFE = "5 seconds"  # of users: whoever works longer than that must get new tickets
# By the name of the keytab.
PRINCIPALS = {"nn": ("nn/localhost", "HTTP/localhost"), "dn": ("dn/localhost",), **{user: (user,) for user in USERS}}
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])  # where Debian puts a server's programs


class Kdc(Server):
    """The KDC of one realm."""

    name = "kdc"
    special = True
    realm = "TEST.LOCAL"

    def fetch(self) -> None:
        for name in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit"):
            program(name)

    def prepare(self, site: Site) -> None:
        address = f"127.0.0.1:{site.ports['port']}"
        krb5_conf(site).write_text(KRB5.format(realm=self.realm, address=address), encoding="utf-8")
        (site.folder / "kdc.conf").write_text(KDC.format(realm=self.realm, address=address, folder=site.folder), encoding="utf-8")
        if (site.folder / "complete").exists():
            return
        environment = env(site)
        cache.call([program("kdb5_util"), "create", "-s", "-r", self.realm, "-P", "master"], "making the realm", env=environment)
        for name, principals in PRINCIPALS.items():
            for principal in principals:
                life = ("-maxlife", TICKET_LIFE) if principal in USERS else ()
                cache.call([program("kadmin.local"), "addprinc", "-randkey", *life, principal], f"adding {principal}", env=environment)
            cache.call([program("kadmin.local"), "ktadd", "-k", keytab(site, name), "-norandkey", *principals], f"keytab {name}", env=environment)
        (site.folder / "complete").touch()

    def programs(self, site: Site) -> list[Program]:
        return [Program("kdc", [program("krb5kdc"), "-n"], env=env(site))]

    def ready(self, site: Site) -> bool:
        with tempfile.TemporaryDirectory(dir=site.folder) as folder:
            try:
                log_in(self.addresses(site), USERS[0], pathlib.Path(folder) / "tickets")
            except cache.Failed as error:
                raise ValueError(str(error)) from error
        return True

    def addresses(self, site: Site) -> dict[str, str]:
        return {"krb5_conf": str(krb5_conf(site)), "realm": self.realm, "keytabs": str(site.folder / "keytabs")}


class KdcB(Kdc):
    """The KDC of another realm, with the same names in it."""

    name = "kdc-b"
    realm = "OTHER.LOCAL"


def log_in(kdc: dict[str, str], name: str, tickets: pathlib.Path) -> dict[str, str]:
    """Gets tickets with a keytab, as its first principal, and gives the environment in which they are used."""
    environment = {"KRB5_CONFIG": kdc["krb5_conf"], "KRB5CCNAME": f"FILE:{tickets}"}
    cache.call([program("kinit"), "-k", "-t", f"{kdc['keytabs']}/{name}.keytab", PRINCIPALS[name][0]], f"logging in as {name}", env=environment)
    return environment


def program(name: str) -> str:
    """Where a program of Kerberos is."""
    if found := shutil.which(name, path=SEARCHED):
        return found
    raise cache.Failed(f"kdc: there is no `{name}` here; `scripts/setup test` installs it")


def krb5_conf(site: Site) -> pathlib.Path:
    """The configuration of clients."""
    return site.folder / "krb5.conf"


def keytab(site: Site, name: str) -> pathlib.Path:
    """A file of keys, in a folder that is made if need be."""
    folder = site.folder / "keytabs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.keytab"


def env(site: Site) -> dict[str, str]:
    """What makes the programs of Kerberos use this realm."""
    return {"KRB5_CONFIG": str(krb5_conf(site)), "KRB5_KDC_PROFILE": str(site.folder / "kdc.conf")}


KRB5 = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 {realm} = {{
  kdc = {address}
 }}
"""

KDC = """\
[kdcdefaults]
 kdc_listen = {address}
 kdc_tcp_listen = {address}
[realms]
 {realm} = {{
  database_name = {folder}/principals
  key_stash_file = {folder}/stash
  acl_file = {folder}/kadm5.acl
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
 }}
"""
