"""HDFS in high availability: two NameNodes, of which one is active, and one DataNode.

The NameNodes share their log in a folder, so there is no JournalNode, and nobody but `scripts/servers admin hdfs-ha haadmin …` makes the
other one active, so there is no ZooKeeper. For a client it is a cluster as any other with two NameNodes.
"""

import shutil

from .hdfs import NAMESERVICE, Hdfs, bean, http, of_datanodes, ports_of
from .server import Site


class HdfsHa(Hdfs):
    """A cluster reached by its name alone."""

    name = "hdfs-ha"
    special = True
    namenodes = ("nn1", "nn2")
    port_names = ports_of(namenodes, of_datanodes(1))

    def prepare(self, site: Site) -> None:
        fresh = not (site.folder / "name").exists()
        super().prepare(site)
        if fresh:
            shutil.copytree(site.folder / "name", site.folder / "name-2")

    def settle(self, site: Site) -> None:
        """Makes the first NameNode active if none is."""
        if all(role(site, name) != "active" for name in self.namenodes):
            self.admin(site, ["haadmin", "-transitionToActive", self.namenodes[0]])

    def addresses(self, site: Site) -> dict[str, str]:
        return {**super().addresses(site), "http_2": http(site, self.namenodes[1])}

    def uri(self, _site: Site) -> str:
        return f"hdfs://{NAMESERVICE}"

    def nameservice(self, site: Site) -> dict:
        addresses = {f"dfs.namenode.rpc-address.{NAMESERVICE}.{name}": f"127.0.0.1:{site.ports[name]}" for name in self.namenodes}
        provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
        names = {"dfs.nameservices": NAMESERVICE, f"dfs.ha.namenodes.{NAMESERVICE}": ",".join(self.namenodes)}
        return {**names, f"dfs.client.failover.proxy.provider.{NAMESERVICE}": provider, **addresses}

    def server(self, site: Site) -> dict:
        pages = {f"dfs.namenode.http-address.{NAMESERVICE}.{name}": f"127.0.0.1:{site.ports[f'{name}_http']}" for name in self.namenodes}
        return {
            **self.nameservice(site),
            **pages,
            f"dfs.namenode.name.dir.{NAMESERVICE}.nn2": (site.folder / "name-2").as_uri(),
            "dfs.namenode.shared.edits.dir": (site.folder / "shared").as_uri(),
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.ha.tail-edits.period": "1s",
        }

    def client(self, site: Site) -> dict:
        return self.nameservice(site)

    def as_namenode(self, number: int) -> list[str]:
        return [f"-Ddfs.ha.namenode.id={self.namenodes[number]}"]


def role(site: Site, name: str) -> str | None:
    """`active` or `standby`, as the NameNode itself says."""
    return bean(http(site, name), "Hadoop:service=NameNode,name=NameNodeStatus").get("State")
