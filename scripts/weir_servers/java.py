"""Servers that are Java programs: their jars by Maven, their command line, and the files they are configured by."""

import pathlib
import shutil
from xml.sax.saxutils import escape

from . import cache
from .server import Site

POMS = pathlib.Path(__file__).parent / "poms"

# The first compiler tier alone and the serial collector: quicker to start and half the memory, and no test needs more.
FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true"]


def jars(name: str) -> pathlib.Path:
    """The folder with the jars that `poms/<name>.xml` asks for and all they depend on."""
    pom = POMS / f"{name}.xml"

    def fetch(folder: pathlib.Path) -> None:
        # Maven writes beside the pom, so it is given a copy.
        work = folder / "maven"
        work.mkdir()
        shutil.copy(pom, work / "pom.xml")
        command = ["mvn", "-q", "-B", "-f", work / "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
        cache.call(command, f"jars of {name}")
        shutil.rmtree(work)

    return cache.ensure(f"jars-{name}", cache.digest(pom.read_text(encoding="utf-8")), fetch)


def command(site: Site, memory: str, classpath: list, *rest) -> list:
    """A `java` command line with that much heap, and temporary files in the server's folder."""
    temporary = site.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    joined = ":".join(str(part) for part in classpath)
    return ["java", f"-Xmx{memory}", *FLAGS, f"-Djava.io.tmpdir={temporary}", "-cp", joined, *rest]


def write_properties(path: pathlib.Path, properties: dict) -> None:
    """Writes a file of `key=value` lines."""
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")


def write_hadoop_xml(path: pathlib.Path, properties: dict) -> None:
    """Writes a Hadoop configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"  <property><name>{escape(key)}</name><value>{escape(str(value))}</value></property>\n" for key, value in properties.items())
    path.write_text(f"<configuration>\n{rows}</configuration>\n", encoding="utf-8")
