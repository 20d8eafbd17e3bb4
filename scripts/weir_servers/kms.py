"""Hadoop's server of the keys of encryption zones, by HTTPS. It believes whatever name a client gives, and lets everybody use every key."""

import json
import pathlib
import ssl
import urllib.request

from . import cache, certificates, hdfs, java
from .process import Program
from .server import Server, Site

MAIN = "org.apache.hadoop.crypto.key.kms.server.KMSWebServer"
KEY = "weir"
PASSWORD = "changeit"
OPERATIONS = ("CREATE", "DELETE", "ROLLOVER", "GET", "GET_KEYS", "GET_METADATA", "SET_KEY_MATERIAL", "GENERATE_EEK", "DECRYPT_EEK")
OPERATIONS_OF_KEY = ("MANAGEMENT", "GENERATE_EEK", "DECRYPT_EEK", "READ")


class Kms(Server):
    """A key server with one key."""

    name = "kms"
    special = True

    def fetch(self) -> None:
        java.jars("hdfs")

    def prepare(self, site: Site) -> None:
        conf = site.folder / "conf"
        stores = {kind: {"location": stored(site, kind), "password": PASSWORD, "type": "pkcs12"} for kind in ("keystore", "truststore")}
        made = certificates.made_in(site.folder / "certificates")
        if not stored(site, "keystore").exists():
            to_keystore = ["pkcs12", "-export", "-in", made.server, "-passout", f"pass:{PASSWORD}", "-out", stored(site, "keystore")]
            cache.call(["openssl", *to_keystore], "making a key store")
            to_truststore = ["-importcert", "-noprompt", "-alias", "ca", "-file", made.authority, "-storetype", "PKCS12", "-storepass", PASSWORD]
            cache.call(["keytool", *to_truststore, "-keystore", stored(site, "truststore")], "making a trust store")
        server = {f"ssl.server.keystore.{key}": value for key, value in stores["keystore"].items()}
        client = {f"ssl.client.truststore.{key}": value for key, value in stores["truststore"].items()}
        anybody = {f"hadoop.kms.acl.{operation}": "*" for operation in OPERATIONS}
        anybody |= {f"default.key.acl.{operation}": "*" for operation in OPERATIONS_OF_KEY}
        files = {"core-site": {}, "kms-site": settings(site), "kms-acls": anybody, "ssl-server": server}
        for name, properties in files.items():
            java.write_hadoop_xml(conf / f"{name}.xml", properties)
        java.write_hadoop_xml(site.folder / "client" / "ssl-client.xml", client)
        (conf / "log4j.properties").write_text(hdfs.LOGGING, encoding="utf-8")

    def programs(self, site: Site) -> list[Program]:
        conf = site.folder / "conf"
        flags = ["--add-opens=java.base/java.lang=ALL-UNNAMED", f"-Dkms.config.dir={conf}", f"-Dlog4j.configuration=file:{conf}/log4j.properties"]
        return [Program("kms", java.command(site, "96m", [conf, java.jars("hdfs") / "*"], *flags, MAIN))]

    def ready(self, site: Site) -> bool:
        return isinstance(ask(site, "keys/names"), list)

    def settle(self, site: Site) -> None:
        if KEY not in ask(site, "keys/names"):
            ask(site, "keys", {"name": KEY, "cipher": "AES/CTR/NoPadding", "length": 128})

    def addresses(self, site: Site) -> dict[str, str]:
        uri = f"kms://https@127.0.0.1:{site.ports['port']}/kms"
        return {"uri": uri, "ca": str(certificates.made_in(site.folder / "certificates").authority), "conf": str(site.folder / "client")}


def stored(site: Site, kind: str) -> pathlib.Path:
    """Java's forms of the certificates."""
    return site.folder / f"{kind}.p12"


def settings(site: Site) -> dict:
    """The server's `kms-site.xml`."""
    return {
        "hadoop.kms.http.host": "127.0.0.1",
        "hadoop.kms.http.port": site.ports["port"],
        "hadoop.kms.ssl.enabled": "true",
        "hadoop.kms.authentication.type": "simple",
        "hadoop.kms.key.provider.uri": f"jceks://file@{site.folder / 'keys.jceks'}",
    }


def ask(site: Site, path: str, body: dict | None = None):
    """Calls the server and gives its answer."""
    data = None if body is None else json.dumps(body).encode()
    uri = f"https://127.0.0.1:{site.ports['port']}/kms/v1/{path}?user.name=root"
    request = urllib.request.Request(uri, data, {"Content-Type": "application/json"})
    trusted = ssl.create_default_context(cafile=certificates.made_in(site.folder / "certificates").authority)
    with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:
        return json.load(answer)
