"""Azure's blob storage: Azurite, which Microsoft makes for tests, with everything in memory."""

import base64
import datetime
import hashlib
import hmac
import pathlib
import urllib.error
import urllib.request

from . import cache
from .process import Program
from .server import Server, Site

VERSION = "3.35.0"
# The account that every Azurite has; its key stands in Azurite's own manual.
ACCOUNT, CONTAINER = "devstoreaccount1", "warehouse"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite(Server):
    """One account with the container `warehouse`."""

    name = "azurite"
    special = True

    def fetch(self) -> None:
        package()

    def prepare(self, site: Site) -> None:
        pass

    def programs(self, site: Site) -> list[Program]:
        main = package() / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        address = ["--blobHost", "127.0.0.1", "--blobPort", site.ports["port"]]
        # It knows the protocol up to some version, and clients may speak a newer one.
        return [Program("azurite", ["node", main, *address, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"])]

    def ready(self, site: Site) -> bool:
        return request(site, "GET", "", "comp=list") == 200

    def settle(self, site: Site) -> None:
        if (status := request(site, "PUT", f"/{CONTAINER}", "restype=container")) not in (201, 409):
            raise cache.Failed(f"azurite: the container `{CONTAINER}` was not made: status {status}")

    def addresses(self, site: Site) -> dict[str, str]:
        return {"host": host(site), "endpoint": f"http://{host(site)}/{ACCOUNT}", "account": ACCOUNT, "key": KEY, "container": CONTAINER}


def package() -> pathlib.Path:
    """The folder with Azurite and what it needs."""

    def install(folder: pathlib.Path) -> None:
        cache.call(["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", folder, f"azurite@{VERSION}"], "installing Azurite")

    return cache.ensure("azurite", cache.digest(VERSION), install)


def host(site: Site) -> str:
    """Where it listens."""
    return f"127.0.0.1:{site.ports['port']}"


def request(site: Site, method: str, path: str, query: str) -> int:
    """The status of a request without a body, signed as "Authorize with Shared Key" says."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2021-12-02"}
    lines = [method, *[""] * 11, *(f"{key}:{value}" for key, value in headers.items()), f"/{ACCOUNT}/{ACCOUNT}{path}", query.replace("=", ":")]
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": "0"}
    url = f"http://{host(site)}/{ACCOUNT}{path}?{query}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
