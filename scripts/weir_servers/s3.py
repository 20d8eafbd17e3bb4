"""S3 servers: versitygw on a folder; moto, which keeps everything in memory, where Go is too old to build versitygw. There can be two.

versitygw refuses requests that are not signed with its own keys; moto takes any. `WEIR_S3_SERVER` set to `versitygw` or `moto` decides it instead.
"""

import datetime
import functools
import hashlib
import hmac
import os
import pathlib
import re
import signal
import subprocess
import urllib.error
import urllib.request

from . import cache, python
from .process import Program
from .server import Server, Site

PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
NEEDS_GO = (1, 25)  # what its go.mod asks for
REGION, BUCKET = "us-east-1", "warehouse"


class S3(Server):
    """One endpoint with one pair of keys and the bucket `warehouse`."""

    name = "s3"
    access_key, secret_key = "test", "testsecret"

    def fetch(self) -> None:
        if kind() == "versitygw":
            versitygw()
        else:
            python.interpreter("moto")

    def prepare(self, site: Site) -> None:
        for part in ("data", "attributes"):
            (site.folder / part).mkdir(exist_ok=True)

    def programs(self, site: Site) -> list[Program]:
        port = site.ports["port"]
        if kind() == "moto":
            command = [python.interpreter("moto"), "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
            return [Program("moto", command, stop_signal=signal.SIGINT)]
        # ETags are kept in files beside the data: not every file system has extended attributes.
        command = [versitygw(), "--port", f"127.0.0.1:{port}", "--region", REGION, "--quiet", "posix"]
        command += ["--sidecar", site.folder / "attributes", site.folder / "data"]
        return [Program("versitygw", command, env={"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key})]

    def ready(self, site: Site) -> bool:
        return self.request(site, "GET", "/") == 200

    def settle(self, site: Site) -> None:
        if self.request(site, "HEAD", f"/{BUCKET}") == 404 and (status := self.request(site, "PUT", f"/{BUCKET}")) != 200:
            raise cache.Failed(f"{self.name}: the bucket `{BUCKET}` was not made: status {status}")

    def addresses(self, site: Site) -> dict[str, str]:
        keys = {"access_key": self.access_key, "secret_key": self.secret_key}
        files = {"data": str(site.folder / "data")} if kind() == "versitygw" else {}
        return {"endpoint": endpoint(site), **keys, "region": REGION, "bucket": BUCKET, "server": kind(), **files}

    def request(self, site: Site, method: str, path: str) -> int:
        """The status of a request without a body, signed as AWS Signature Version 4 says."""
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        empty = hashlib.sha256(b"").hexdigest()
        headers = {"host": f"127.0.0.1:{site.ports['port']}", "x-amz-content-sha256": empty, "x-amz-date": stamp}
        names = ";".join(headers)
        canonical = "\n".join([method, path, "", *(f"{key}:{value}" for key, value in headers.items()), "", names, empty])
        scope = f"{day}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        try:
            with urllib.request.urlopen(urllib.request.Request(endpoint(site) + path, method=method, headers=headers), timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


class S3B(S3):
    """Another endpoint, with other keys and a bucket of the same name."""

    name = "s3-b"
    special = True
    access_key, secret_key = "test-b", "testsecret-b"


@functools.cache
def kind() -> str:
    """Which of the two servers is used here."""
    if chosen := os.environ.get("WEIR_S3_SERVER"):
        return chosen
    try:
        answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True, cwd="/").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        answer = ""
    if go_will_do(answer, os.environ.get("GOTOOLCHAIN", "auto")):
        return "versitygw"
    cache.say(f"s3: moto, because versitygw {VERSION} needs Go {'.'.join(map(str, NEEDS_GO))} and here is {answer or 'no Go'}")
    return "moto"


def go_will_do(version: str, toolchain: str) -> bool:
    """Whether this Go builds it: it is new enough, or new enough to get itself a newer one and allowed to."""
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    if not numbers:
        return False
    have = (int(numbers[1]), int(numbers[2]))
    return have >= NEEDS_GO or (have >= (1, 21) and toolchain == "auto")


def versitygw() -> pathlib.Path:
    """The binary, built once."""

    def build(folder: pathlib.Path) -> None:
        # Distributions tell Go not to fetch a newer Go; only the user's own word counts here.
        environment = {"GOBIN": str(folder), "GOFLAGS": "", "GOTOOLCHAIN": os.environ.get("GOTOOLCHAIN", "auto")}
        cache.call(["go", "install", f"{PACKAGE}@{VERSION}"], "building versitygw", env=environment, cwd="/")

    return cache.ensure("versitygw", cache.digest(VERSION), build) / "versitygw"


def endpoint(site: Site) -> str:
    """The server's address."""
    return f"http://127.0.0.1:{site.ports['port']}"
