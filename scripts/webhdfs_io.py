"""A PyIceberg `FileIO` for plain HDFS over WebHDFS: the native HDFS library that PyArrow wants is in no package registry.

Give a catalog the properties `py-io-impl` = `webhdfs_io.WebHdfsFileIO` and `webhdfs.http` = the NameNode's HTTP address. Files are read
and written whole, which is right for tests only. Paths that do not begin with `hdfs://` are refused.
"""

import io
import json
import urllib.error
import urllib.parse
import urllib.request

from pyiceberg.io import FileIO, InputFile, OutputFile


class WebHdfsFileIO(FileIO):
    """Files of one cluster."""

    def new_input(self, location):
        return WebHdfsInput(location, self.properties["webhdfs.http"])

    def new_output(self, location):
        return WebHdfsOutput(location, self.properties["webhdfs.http"])

    def delete(self, location):
        path = location if isinstance(location, str) else location.location
        with call("DELETE", self.properties["webhdfs.http"], path, "DELETE") as answer:
            if not json.load(answer)["boolean"]:
                raise FileNotFoundError(path)


class WebHdfsInput(InputFile):
    """A file to read."""

    def __init__(self, location, http):
        super().__init__(location)
        self._http = http

    def __len__(self):
        return length(self._http, self.location)

    def exists(self):
        return exists(self._http, self.location)

    def open(self, seekable=True):
        with call("GET", self._http, self.location, "OPEN") as answer:
            return io.BytesIO(answer.read())


class WebHdfsOutput(OutputFile):
    """A file to write."""

    def __init__(self, location, http):
        super().__init__(location)
        self._http = http

    def __len__(self):
        return length(self._http, self.location)

    def exists(self):
        return exists(self._http, self.location)

    def to_input_file(self):
        return WebHdfsInput(self.location, self._http)

    def create(self, overwrite=False):
        return Upload(self._http, self.location, overwrite)


class Upload(io.BytesIO):
    """Collects what is written and sends it when it is closed."""

    def __init__(self, http, location, overwrite):
        super().__init__()
        self._http, self._location, self._overwrite = http, location, overwrite

    def close(self):
        if not self.closed:
            body = self.getvalue()
            super().close()
            options = {"overwrite": str(self._overwrite).lower(), "noredirect": "true"}
            with call("PUT", self._http, self._location, "CREATE", **options) as answer:
                place = json.load(answer)["Location"]
            request = urllib.request.Request(place, data=body, method="PUT", headers={"Content-Type": "application/octet-stream"})
            answered(request).close()


def call(method, http, location, operation, **options):
    """Calls the NameNode, which sends reads on to a DataNode."""
    parts = urllib.parse.urlsplit(location)
    if parts.scheme != "hdfs":
        raise ValueError(f"`{location}` is not on HDFS")
    # The path is taken as it stands in the metadata, where characters such as `=` and `%` mean themselves.
    path = urllib.parse.quote(location[len("hdfs://") + len(parts.netloc):], safe="/")
    query = urllib.parse.urlencode({"op": operation, "user.name": "reader", **options})
    try:
        return answered(urllib.request.Request(f"{http}/webhdfs/v1{path}?{query}", method=method))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise FileNotFoundError(location) from error
        raise OSError(f"{operation} of {location}: {error.code} {error.msg}") from error


def answered(request):
    """The answer to a request. After a restart of the NameNode a DataNode fails once, on the connection that it kept to the old one."""
    try:
        return urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        reason = error.read().decode(errors="replace")
        if "EOFException" in reason:
            return urllib.request.urlopen(request, timeout=60)
        error.msg = reason
        raise


def length(http, location):
    """A file's size in bytes."""
    with call("GET", http, location, "GETFILESTATUS") as answer:
        return json.load(answer)["FileStatus"]["length"]


def exists(http, location):
    """Whether there is such a file."""
    try:
        length(http, location)
    except FileNotFoundError:
        return False
    return True
