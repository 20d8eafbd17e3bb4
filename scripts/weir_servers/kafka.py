"""Apache Kafka in KRaft mode: broker and controller in one JVM, with a listener for each security protocol."""

import socket
import struct

from . import cache, certificates, java
from .process import Program
from .server import Server, Site

CLUSTER_ID = "AAAAAAAAQACAAAAAAAAAAg"
LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
"""


# The listeners of clients: the port's name in the record, and the security protocol. Wherever there is SASL, the one user may come with
# PLAIN or SCRAM-SHA-512; `ssl` asks its clients for a certificate.
LISTENERS = {"broker": "PLAINTEXT", "sasl_plaintext": "SASL_PLAINTEXT", "sasl_ssl": "SASL_SSL", "ssl": "SSL"}
USERNAME, PASSWORD = "alice", "alice-secret"


class Kafka(Server):
    """One broker; topics are not made by asking for them."""

    name = "kafka"
    port_names = (*LISTENERS, "controller")

    def fetch(self) -> None:
        java.jars("kafka")

    def prepare(self, site: Site) -> None:
        tls(site)
        java.write_properties(site.folder / "server.properties", settings(site))
        (site.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        if not (site.folder / "data" / "meta.properties").exists():
            user = f"SCRAM-SHA-512=[name={USERNAME},password={PASSWORD}]"
            tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", site.folder / "server.properties", "--add-scram", user]
            cache.call(self._java(site, *tool), "formatting Kafka's log folder")

    def programs(self, site: Site) -> list[Program]:
        return [Program("broker", self._java(site, "kafka.Kafka", site.folder / "server.properties"))]

    def ready(self, site: Site) -> bool:
        return brokers_known_at(site.ports["broker"]) == 1

    def addresses(self, site: Site) -> dict[str, str]:
        secured = {name: f"127.0.0.1:{site.ports[name]}" for name in LISTENERS if name != "broker"}
        files = {"ca": str(tls(site).authority), "client": str(tls(site).client)}
        return {"bootstrap": f"127.0.0.1:{site.ports['broker']}", **secured, **files, "username": USERNAME, "password": PASSWORD}

    def _java(self, site: Site, *arguments) -> list:
        logging = f"-Dlog4j2.configurationFile={site.folder / 'log4j2.properties'}"
        return java.command(site, "256m", [java.jars("kafka") / "*"], logging, *arguments)


def tls(site: Site) -> certificates.Certificates:
    """The certificates of the broker and its clients."""
    return certificates.made_in(site.folder / "tls")


def security(site: Site) -> dict:
    """Who may come in by the listeners that are not plain, and how."""
    plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USERNAME}="{PASSWORD}";'
    modules = {"plain": plain, "scram-sha-512": "org.apache.kafka.common.security.scram.ScramLoginModule required;"}
    listeners = [name for name in LISTENERS if name.startswith("sasl")]
    logins = {f"listener.name.{name}.{one}.sasl.jaas.config": text for name in listeners for one, text in modules.items()}
    return {
        **logins,
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": tls(site).server,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": tls(site).authority,
        "listener.name.ssl.ssl.client.auth": "required",
    }


def settings(site: Site) -> dict:
    """The broker's configuration: small, quick to join, and transactions on one node."""
    controller = site.ports["controller"]
    advertised = ",".join(f"{protocol}://127.0.0.1:{site.ports[name]}" for name, protocol in LISTENERS.items())
    protocols = ",".join(f"{protocol}:{protocol}" for protocol in LISTENERS.values())
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"{advertised},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": advertised,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{protocols}",
        **security(site),
        "log.dirs": site.folder / "data",
        "num.partitions": 4,
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "log.segment.bytes": 67108864,
        # Retention and compaction are looked at often, so that tests of them need not wait minutes.
        "log.retention.check.interval.ms": 1000,
        "log.initial.task.delay.ms": 1000,
        "log.cleaner.backoff.ms": 500,
        "log.cleaner.dedupe.buffer.size": 4194304,
        "log.segment.delete.delay.ms": 100,
    }


def brokers_known_at(port: int) -> int:
    """How many brokers a metadata request (version 4, no topics) is told of.

    The layout is that of the Kafka protocol guide: a length, then api key, version, correlation id and client id before the body.
    """
    client = b"weir-servers"
    request = struct.pack(">hhih", 3, 4, 1, len(client)) + client + struct.pack(">i?", 0, False)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack(">i", read_exactly(stream, 4))
            answer = read_exactly(stream, length)
    _correlation, _throttle, brokers = struct.unpack_from(">iii", answer)
    return brokers


def read_exactly(stream, count: int) -> bytes:
    """That many bytes; a connection that ends before is no answer."""
    taken = stream.read(count)
    if len(taken) < count:
        raise ConnectionError("the answer was cut off")
    return taken
