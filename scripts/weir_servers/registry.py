"""A schema registry: Apicurio, which answers as Confluent's does too, with its schemas in a file, so that a restart keeps them."""

import json
import pathlib
import tarfile
import urllib.request

from . import cache, java
from .process import Program
from .server import Server, Site

# The last one that runs on Java 17.
VERSION = "3.0.9"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"


class Registry(Server):
    """One registry, without TLS and open to everybody."""

    name = "registry"
    port_names = ("port", "management")

    def fetch(self) -> None:
        application()

    def prepare(self, site: Site) -> None:
        pass

    def programs(self, site: Site) -> list[Program]:
        settings = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": site.ports["port"],
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": site.ports["management"],
            "apicurio.datasource.url": f"jdbc:h2:file:{site.folder / 'schemas'}",
        }
        jar = application() / f"apicurio-registry-app-{VERSION}-runner.jar"
        flags = [f"-D{key}={value}" for key, value in settings.items()]
        return [Program("registry", java.command(site, "256m", [jar], *flags, "-jar", jar))]

    def ready(self, site: Site) -> bool:
        with urllib.request.urlopen(f"{self._url(site)}/subjects", timeout=10) as answer:
            return isinstance(json.load(answer), list)

    def addresses(self, site: Site) -> dict[str, str]:
        return {"url": self._url(site)}

    def _url(self, site: Site) -> str:
        return f"http://127.0.0.1:{site.ports['port']}/apis/ccompat/v7"


def application() -> pathlib.Path:
    """The folder with the program and its libraries."""

    def fetch(folder: pathlib.Path) -> None:
        # Maven alone knows where its own store is: it copies the archive from there.
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"]
        cache.call(copy, "the schema registry", cwd=folder)
        archive = next(folder.glob("*.tar.gz"))
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        archive.unlink()

    return cache.ensure("registry", cache.digest(VERSION), fetch)
