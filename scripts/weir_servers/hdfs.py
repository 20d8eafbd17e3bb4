"""HDFS: one NameNode and one DataNode, plain, without permissions. There can be two clusters, and both call themselves `ns1`."""

import json
import pathlib
import urllib.parse
import urllib.request

from . import cache, java
from .process import Program
from .server import Server, Site

NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
NAMESERVICE = "ns1"
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


class Hdfs(Server):
    """A cluster reached by the NameNode's address; clients find it in a configuration folder too."""

    name = "hdfs"
    port_names = ("namenode", "namenode_http", "datanode", "datanode_http", "datanode_ipc", "datanode_proxy")

    def fetch(self) -> None:
        java.jars("hdfs")

    def prepare(self, site: Site) -> None:
        by_name, by_address = f"hdfs://{NAMESERVICE}", uri(site)
        client = {"dfs.client.use.datanode.hostname": "false"}
        places = {"conf": (by_name, settings(site)), "client": (by_address, client), "client-ns1": (by_name, {**client, **nameservice(site)})}
        for place, (default, properties) in places.items():
            java.write_hadoop_xml(site.folder / place / "core-site.xml", {"fs.defaultFS": default, "hadoop.tmp.dir": site.folder / "tmp"})
            java.write_hadoop_xml(site.folder / place / "hdfs-site.xml", properties)
        logging = f"{LOGGING}log4j.appender.audit.File={audit(site)}\n"
        (site.folder / "conf" / "log4j.properties").write_text(logging, encoding="utf-8")
        # Counters are kept back for this long; the default, ten seconds, is too long for tests that count calls.
        java.write_properties(site.folder / "conf" / "hadoop-metrics2.properties", {"*.periodMillis": 10})
        # The published jars hold no web pages, and without these folders the web server, which serves JMX and WebHDFS, does not start.
        for application in ("hdfs", "datanode"):
            (site.folder / "web" / "webapps" / application).mkdir(parents=True, exist_ok=True)
        if not (site.folder / "name" / "current" / "VERSION").exists():
            cache.call(self._java(site, NAMENODE, "-format", "-nonInteractive", "-clusterId", "weir"), "formatting the NameNode")

    def programs(self, site: Site) -> list[Program]:
        return [Program("namenode", self._java(site, NAMENODE)), Program("datanode", self._java(site, DATANODE))]

    def ready(self, site: Site) -> bool:
        namenode = bean(http(site), "Hadoop:service=NameNode,name=FSNamesystemState")
        # A DataNode counts as live for seconds after its end, so it is asked itself as well.
        datanode = bean(f"http://127.0.0.1:{site.ports['datanode_http']}", "Hadoop:service=DataNode,name=DataNodeInfo")
        actors = json.loads(datanode.get("BPServiceActorInfo", "[]"))
        registered = [actor["ActorState"] for actor in actors] == ["RUNNING"]
        return registered and namenode.get("FSState") == "Operational" and namenode.get("NumLiveDataNodes") == 1

    def addresses(self, site: Site) -> dict[str, str]:
        folders = {"conf": str(site.folder / "client"), "conf_ns1": str(site.folder / "client-ns1")}
        return {"uri": uri(site), "http": http(site), "audit": str(audit(site)), **folders}

    def _java(self, site: Site, *arguments) -> list:
        classpath = [site.folder / "conf", site.folder / "web", java.jars("hdfs") / "*"]
        return java.command(site, "192m", classpath, "--add-opens=java.base/java.lang=ALL-UNNAMED", *arguments)


class HdfsB(Hdfs):
    """Another cluster with the same name."""

    name = "hdfs-b"


def uri(site: Site) -> str:
    """What paths on this cluster begin with."""
    return f"hdfs://127.0.0.1:{site.ports['namenode']}"


def http(site: Site) -> str:
    """The NameNode's web server: WebHDFS under `/webhdfs/v1`, counters under `/jmx`."""
    return f"http://127.0.0.1:{site.ports['namenode_http']}"


def audit(site: Site) -> pathlib.Path:
    """Where the NameNode writes down every call of a client, with the paths in it."""
    return site.folder / "audit.log"


def bean(server: str, name: str) -> dict:
    """The attributes of one JMX bean; none of them while it is not there yet."""
    query = urllib.parse.urlencode({"qry": name})
    with urllib.request.urlopen(f"{server}/jmx?{query}", timeout=5) as answer:
        beans = json.load(answer)["beans"]
    return beans[0] if beans else {}


def nameservice(site: Site) -> dict:
    """What leads from the name of the cluster to its NameNode."""
    return {"dfs.nameservices": NAMESERVICE, f"dfs.namenode.rpc-address.{NAMESERVICE}": f"127.0.0.1:{site.ports['namenode']}"}


def settings(site: Site) -> dict:
    """The servers' `hdfs-site.xml`."""
    ports = {name: f"127.0.0.1:{port}" for name, port in site.ports.items()}
    return {
        **nameservice(site),
        f"dfs.namenode.http-address.{NAMESERVICE}": ports["namenode_http"],
        "dfs.namenode.name.dir": (site.folder / "name").as_uri(),
        "dfs.namenode.handler.count": 4,
        "dfs.namenode.safemode.extension": 0,
        "dfs.namenode.fs-limits.min-block-size": 65536,
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.datanode.data.dir": (site.folder / "data").as_uri(),
        "dfs.datanode.hostname": "127.0.0.1",
        "dfs.datanode.address": ports["datanode"],
        "dfs.datanode.http.address": ports["datanode_http"],
        "dfs.datanode.ipc.address": ports["datanode_ipc"],
        "dfs.datanode.http.internal-proxy.port": site.ports["datanode_proxy"],
        "dfs.datanode.du.reserved": 0,
        "dfs.replication": 1,
        "dfs.permissions.enabled": "false",
        "dfs.heartbeat.interval": 1,
        "dfs.namenode.heartbeat.recheck-interval": 2000,
    }
