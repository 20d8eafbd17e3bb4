"""A Hive Metastore on the PostgreSQL of the run: on an embedded Derby, locks of many clients wait for each other.

It reaches warehouses on disk and, by `hdfs://host:port`, on HDFS.
"""

import pathlib
import socket
import struct

from . import hdfs, java
from .process import Program
from .server import Server, Site

MAIN = pathlib.Path(__file__).parent / "HiveServer.java"
DATABASE = "hive"
OPENED = ("java.lang", "java.net", "java.util")


class Hive(Server):
    """Version 4.0.0: the last one with a call that PyIceberg needs, and one that compares pointers."""

    name = "hive"
    needs = ("postgres",)

    def fetch(self) -> None:
        java.jars("hive")

    def prepare(self, site: Site) -> None:
        java.write_hadoop_xml(site.folder / "conf" / "metastore-site.xml", settings(site))
        java.write_hadoop_xml(site.folder / "client" / "hive-site.xml", {"hive.metastore.uris": uri(site)})
        (site.folder / "conf" / "log4j.properties").write_text(hdfs.LOGGING, encoding="utf-8")

    def programs(self, site: Site) -> list[Program]:
        classpath = [site.folder / "conf", java.jars("hive") / "*"]
        flags = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
        known, user = database(site)
        existing = f"jdbc:postgresql://{known}"
        arguments = [existing, own_database(site), DATABASE, user, site.ports["port"]]
        return [Program("metastore", java.command(site, "320m", classpath, *flags, MAIN, *arguments))]

    def ready(self, site: Site) -> bool:
        with socket.create_connection(("127.0.0.1", site.ports["port"]), timeout=10) as connection:
            connection.settimeout(10)
            method = b"get_all_databases"
            connection.sendall(struct.pack(">II", 0x80010001, len(method)) + method + struct.pack(">IB", 1, 0))
            return connection.recv(4) == struct.pack(">I", 0x80010002)

    def addresses(self, site: Site) -> dict[str, str]:
        return {"uri": uri(site), "warehouse": f"file://{site.folder / 'warehouse'}", "conf": str(site.folder / "client")}


def database(site: Site) -> tuple[str, str]:
    """Host, port and name of the run's database, and its user."""
    user, _, known = site.peers["postgres"]["url"].removeprefix("postgres://").partition("@")
    return known, user


def own_database(site: Site) -> str:
    """The metastore's database beside it."""
    known, _ = database(site)
    return f"jdbc:postgresql://{known.partition('/')[0]}/{DATABASE}"


def uri(site: Site) -> str:
    """The address for clients."""
    return f"thrift://127.0.0.1:{site.ports['port']}"


def settings(site: Site) -> dict:
    """The server's `metastore-site.xml`. The two warehouses must be apart; Iceberg tables belong into the external one."""
    return {
        "metastore.thrift.bind.host": "127.0.0.1",
        "metastore.thrift.port": site.ports["port"],
        "javax.jdo.option.ConnectionURL": own_database(site),
        "javax.jdo.option.ConnectionDriverName": "org.postgresql.Driver",
        "javax.jdo.option.ConnectionUserName": database(site)[1],
        "javax.jdo.option.ConnectionPassword": "",
        "metastore.schema.verification": "false",
        "datanucleus.schema.autoCreateAll": "true",
        "metastore.warehouse.dir": f"file://{site.folder / 'managed'}",
        "metastore.warehouse.external.dir": f"file://{site.folder / 'warehouse'}",
        "metastore.event.db.notification.api.auth": "false",
        "metastore.compactor.initiator.on": "false",
        "metastore.server.min.threads": 4,
        "metastore.server.max.threads": 64,
        "datanucleus.connectionPool.maxPoolSize": 8,
        # Locks of killed clients end after seconds instead of minutes, so that tests can wait for it.
        "metastore.txn.timeout": "10s",
        "metastore.timedout.txn.reaper.interval": "1s",
        "metastore.housekeeping.threads.on": "true",
        "metastore.task.threads.remote": "org.apache.hadoop.hive.metastore.txn.service.AcidHouseKeeperService",
        "metastore.task.threads.always": "org.apache.hadoop.hive.metastore.events.EventCleanerTask",
    }
