"""HDFS: one NameNode and one DataNode or three, plain, without permissions. There can be two clusters, and both call themselves `ns1`."""

import json
import pathlib
import urllib.parse
import urllib.request

from . import cache, java
from .process import Program
from .server import Server, Site

NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
COMMANDS = {
    "dfs": "org.apache.hadoop.fs.FsShell",
    "dfsadmin": "org.apache.hadoop.hdfs.tools.DFSAdmin",
    "haadmin": "org.apache.hadoop.hdfs.tools.DFSHAAdmin",
    "ec": "org.apache.hadoop.hdfs.tools.ECAdmin",
    "crypto": "org.apache.hadoop.hdfs.tools.CryptoAdmin",
    "fetchdt": "org.apache.hadoop.hdfs.tools.DelegationTokenFetcher",
}
NAMESERVICE = "ns1"
FORMAT = ("-format", "-nonInteractive", "-clusterId", "weir")
LOGGING = """\
log4j.rootLogger=WARN,err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.target=System.err
log4j.appender.err.layout=org.apache.log4j.PatternLayout
log4j.appender.err.layout.ConversionPattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
log4j.logger.org.apache.hadoop.hdfs.server.namenode.FSNamesystem.audit=INFO,audit
log4j.additivity.org.apache.hadoop.hdfs.server.namenode.FSNamesystem.audit=false
log4j.appender.audit=org.apache.log4j.FileAppender
log4j.appender.audit.layout=org.apache.log4j.PatternLayout
log4j.appender.audit.layout.ConversionPattern=%m%n
"""


def of_datanodes(count: int) -> tuple[str, ...]:
    """The names of so many DataNodes."""
    return tuple("datanode" if number == 1 else f"datanode-{number}" for number in range(1, count + 1))


def ports_of(namenodes: tuple[str, ...], datanodes: tuple[str, ...]) -> tuple[str, ...]:
    """The ports that these processes need."""
    of_namenodes = [f"{name}{port}" for name in namenodes for port in ("", "_http")]
    return (*of_namenodes, *(f"{name}{port}" for name in datanodes for port in ("", "_http", "_ipc", "_proxy")))


class Hdfs(Server):
    """A cluster reached by the NameNode's address; clients find it in a configuration folder too."""

    name = "hdfs"
    namenodes: tuple[str, ...] = ("namenode",)
    datanodes = of_datanodes(1)
    port_names = ports_of(namenodes, datanodes)
    # Without this the published classes do not start on the Java that is wanted here.
    java_options = ("--add-opens=java.base/java.lang=ALL-UNNAMED",)

    def fetch(self) -> None:
        java.jars("hdfs")

    def prepare(self, site: Site) -> None:
        by_name, client = f"hdfs://{NAMESERVICE}", {"dfs.client.use.datanode.hostname": "false", **self.client(site)}
        named = {**client, **self.nameservice(site)}
        places = {"conf": (by_name, {**settings(site), **self.server(site)}), "client": (self.uri(site), client), "client-ns1": (by_name, named)}
        for place, (default, properties) in places.items():
            core = {"fs.defaultFS": default, "hadoop.tmp.dir": site.folder / "tmp", **self.core(site)}
            java.write_hadoop_xml(site.folder / place / "core-site.xml", core)
            java.write_hadoop_xml(site.folder / place / "hdfs-site.xml", properties)
        logging = f"{LOGGING}log4j.appender.audit.File={audit(site)}\n"
        (site.folder / "conf" / "log4j.properties").write_text(logging, encoding="utf-8")
        # Counters are kept back for this long; the default, ten seconds, is too long for tests that count calls.
        java.write_properties(site.folder / "conf" / "hadoop-metrics2.properties", {"*.periodMillis": 10})
        # The published jars hold no web pages, and without these folders the web server, which serves JMX and WebHDFS, does not start.
        for application in ("hdfs", "datanode"):
            (site.folder / "web" / "webapps" / application).mkdir(parents=True, exist_ok=True)
        if not (site.folder / "name" / "current" / "VERSION").exists():
            cache.call(self.java(site, NAMENODE, *self.as_namenode(0), *FORMAT), "formatting the NameNode")

    def programs(self, site: Site) -> list[Program]:
        namenodes = [Program(name, self.java(site, NAMENODE, *self.as_namenode(at))) for at, name in enumerate(self.namenodes)]
        return [*namenodes, *(Program(name, self.java(site, DATANODE, *as_datanode(site, name))) for name in self.datanodes)]

    def ready(self, site: Site) -> bool:
        # A DataNode counts as live for seconds after its end, so each is asked itself as well: it must know every NameNode.
        for name in self.datanodes:
            datanode = bean(http(site, name), "Hadoop:service=DataNode,name=DataNodeInfo")
            actors = json.loads(datanode.get("BPServiceActorInfo", "[]"))
            if [actor["ActorState"] for actor in actors] != ["RUNNING"] * len(self.namenodes):
                return False
        states = [bean(http(site, name), "Hadoop:service=NameNode,name=FSNamesystemState") for name in self.namenodes]
        return all(state.get("FSState") == "Operational" and state.get("NumLiveDataNodes") == len(self.datanodes) for state in states)

    def addresses(self, site: Site) -> dict[str, str]:
        folders = {"conf": str(site.folder / "client"), "conf_ns1": str(site.folder / "client-ns1")}
        classpath = ":".join(str(part) for part in (site.folder / "client", site.folder / "conf", java.jars("hdfs") / "*"))
        return {"uri": self.uri(site), "http": http(site, self.namenodes[0]), "audit": str(audit(site)), "classpath": classpath, **folders}

    def admin(self, site: Site, words: list[str], env: dict | None = None) -> str:
        if not words or words[0] not in COMMANDS:
            raise cache.Failed(f"{self.name}: the commands are {', '.join(COMMANDS)}, each followed by what Hadoop's own takes")
        # Only the servers' configuration says how a NameNode is fenced, and only that of clients leads to the cluster.
        place = "conf" if words[0] == "haadmin" else "client"
        return cache.call(self.java(site, COMMANDS[words[0]], *words[1:], place=place), " ".join(words), env=env)

    def uri(self, site: Site) -> str:
        """What paths on this cluster begin with."""
        return f"hdfs://127.0.0.1:{site.ports['namenode']}"

    def nameservice(self, site: Site) -> dict:
        """What leads from the name of the cluster to its NameNodes."""
        return {"dfs.nameservices": NAMESERVICE, f"dfs.namenode.rpc-address.{NAMESERVICE}": f"127.0.0.1:{site.ports['namenode']}"}

    def server(self, site: Site) -> dict:
        """What stands in the `hdfs-site.xml` of the servers beside what all clusters have."""
        return {**self.nameservice(site), f"dfs.namenode.http-address.{NAMESERVICE}": f"127.0.0.1:{site.ports['namenode_http']}"}

    def core(self, _site: Site) -> dict:
        """What stands in every `core-site.xml` beside the address."""
        return {}

    def client(self, _site: Site) -> dict:
        """What stands in the `hdfs-site.xml` of clients."""
        return {}

    def as_namenode(self, _number: int) -> list[str]:
        """What tells a NameNode which one it is."""
        return []

    def java(self, site: Site, *arguments, place: str = "conf") -> list:
        """The command line of a class of Hadoop, with the configuration of that place."""
        classpath = [site.folder / place, site.folder / "conf", site.folder / "web", java.jars("hdfs") / "*"]
        return java.command(site, "192m", classpath, *self.java_options, *arguments)


class HdfsB(Hdfs):
    """Another cluster with the same name. Its blocks are small."""

    name = "hdfs-b"
    special = True

    def server(self, site: Site) -> dict:
        return {**super().server(site), "dfs.blocksize": 1 << 20}


class HdfsLate(HdfsB):
    """A cluster of small blocks whose DataNode is late to tell that it has one: a third block of a file is asked for before the first is known."""

    name = "hdfs-late"

    def server(self, site: Site) -> dict:
        return {**super().server(site), "dfs.blockreport.incremental.intervalMsec": 3000}


class Hdfs3(Hdfs):
    """A cluster of three DataNodes, each of which has all blocks. Closing a file does not wait for their reports."""

    name = "hdfs-3"
    special = True
    datanodes = of_datanodes(3)
    port_names = ports_of(Hdfs.namenodes, datanodes)

    def server(self, site: Site) -> dict:
        return {**super().server(site), "dfs.replication": 3, "dfs.namenode.file.close.num-committed-allowed": 1}


def http(site: Site, process: str) -> str:
    """The web server of a NameNode or DataNode: WebHDFS under `/webhdfs/v1`, counters under `/jmx`."""
    return f"http://127.0.0.1:{site.ports[f'{process}_http']}"


def audit(site: Site) -> pathlib.Path:
    """Where the NameNode writes down every call of a client, with the paths in it."""
    return site.folder / "audit.log"


def bean(server: str, name: str) -> dict:
    """The attributes of one JMX bean; none of them while it is not there yet."""
    query = urllib.parse.urlencode({"qry": name})
    with urllib.request.urlopen(f"{server}/jmx?{query}", timeout=5) as answer:
        beans = json.load(answer)["beans"]
    return beans[0] if beans else {}


def as_datanode(site: Site, name: str) -> list[str]:
    """What makes a DataNode that one: its ports and its folder."""
    ports = {part: site.ports[f"{name}{part}"] for part in ("", "_http", "_ipc", "_proxy")}
    own = {
        "dfs.datanode.data.dir": (site.folder / name).as_uri(),
        "dfs.datanode.address": f"127.0.0.1:{ports['']}",
        "dfs.datanode.http.address": f"127.0.0.1:{ports['_http']}",
        "dfs.datanode.ipc.address": f"127.0.0.1:{ports['_ipc']}",
        "dfs.datanode.http.internal-proxy.port": ports["_proxy"],
    }
    return [word for key, value in own.items() for word in ("-D", f"{key}={value}")]


def settings(site: Site) -> dict:
    """What stands in the `hdfs-site.xml` of the servers of every cluster."""
    return {
        "dfs.namenode.name.dir": (site.folder / "name").as_uri(),
        "dfs.namenode.handler.count": 4,
        "dfs.namenode.safemode.extension": 0,
        "dfs.namenode.fs-limits.min-block-size": 65536,
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.datanode.hostname": "127.0.0.1",
        "dfs.datanode.du.reserved": 0,
        "dfs.replication": 1,
        "dfs.permissions.enabled": "false",
        "dfs.heartbeat.interval": 1,
        "dfs.namenode.heartbeat.recheck-interval": 2000,
    }
