"""HDFS with folders in which files are stored in other ways: erasure-coded, and encrypted.

Five DataNodes, which share a process, are what Reed-Solomon with three data units and two of parity takes.
"""

import pathlib
import shutil

from . import kms
from .hdfs import NAMENODE, Hdfs, as_datanode, bean, http, of_datanodes, ports_of
from .process import Program
from .server import Site

MAIN = pathlib.Path(__file__).parent / "DataNodes.java"
POLICY = "RS-3-2-1024k"
STRIPED = "/striped"
ENCRYPTED = "/encrypted"


class HdfsZones(Hdfs):
    """A cluster with `/striped` and `/encrypted`."""

    name = "hdfs-zones"
    special = True
    needs = ("kms",)
    datanodes = of_datanodes(5)
    port_names = ports_of(Hdfs.namenodes, datanodes)

    def prepare(self, site: Site) -> None:
        super().prepare(site)
        shutil.copy(pathlib.Path(site.peers["kms"]["conf"]) / "ssl-client.xml", site.folder / "conf")

    def programs(self, site: Site) -> list[Program]:
        nodes = [",".join(as_datanode(site, name)[1::2]) for name in self.datanodes]
        return [Program("namenode", self.java(site, NAMENODE)), Program("datanodes", self.java(site, MAIN, *nodes))]

    def ready(self, site: Site) -> bool:
        state = bean(http(site, "namenode"), "Hadoop:service=NameNode,name=FSNamesystemState")
        return state.get("FSState") == "Operational" and state.get("NumLiveDataNodes") == len(self.datanodes)

    def settle(self, site: Site) -> None:
        made = site.folder / "made"
        if made.exists():
            return
        self.admin(site, ["dfs", "-mkdir", STRIPED, ENCRYPTED])
        self.admin(site, ["ec", "-enablePolicy", "-policy", POLICY])
        self.admin(site, ["ec", "-setPolicy", "-path", STRIPED, "-policy", POLICY])
        self.admin(site, ["crypto", "-createZone", "-keyName", kms.KEY, "-path", ENCRYPTED])
        made.touch()

    def core(self, site: Site) -> dict:
        return {**super().core(site), "hadoop.security.key.provider.path": site.peers["kms"]["uri"]}
