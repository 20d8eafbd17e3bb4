"""Which files a table's metadata reaches, as PyIceberg reads it, beside those that lie below its location."""

import json
import os
import re

import pyarrow.fs
import webhdfs_io

VERSION = re.compile(r"(?:v|)(\d+)[.-].*metadata\.json$")
# Objects of Weir's own beside the metadata, which no other engine knows.
OWN = re.compile(r"/metadata/_?weir-")


def reach(catalog, arguments):
    """Tells which files nobody refers to, and which are referred to and not there."""
    table = catalog.load_table(arguments.table)
    location = table.location().rstrip("/")
    used = {path_of(path): what for path, what in referred(table)}
    stored = {path for path in listed(table, location) if not is_checksum(path)}
    own = {path for path in stored if OWN.match(path.removeprefix(path_of(location)))}
    unknown = stored - own - used.keys() - {path_of(location) + "/metadata/version-hint.text"}
    oldest = min((version(path) for path, what in used.items() if what == "metadata"), default=0)
    # With a log that is shorter than the history, older metadata files are the business of whoever cut the log.
    retired = {path for path in unknown if VERSION.search(path) and version(path) < oldest}
    return {
        "location": location,
        "files": len(used),
        "unreferenced": sorted(unknown - retired),
        "missing": sorted(f"{what} {path}" for path, what in used.items() if path not in stored),
        "retired": sorted(retired),
        "own": sorted(own),
    }


def referred(table):
    """Every path that the metadata names, with what it is."""
    for entry in table.metadata.metadata_log:
        yield entry.metadata_file, "metadata"
    yield table.metadata_location, "metadata"
    for one in (*table.metadata.statistics, *(table.metadata.partition_statistics or [])):
        yield one.statistics_path, "statistics"
    known = set()
    for snapshot in table.snapshots():
        yield snapshot.manifest_list, "manifest list"
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in known:
                known.add(manifest.manifest_path)
                yield manifest.manifest_path, "manifest"
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                    yield entry.data_file.file_path, entry.data_file.content.name.lower()


def listed(table, location):
    """Paths of all files below a folder, by a way that is not Weir's."""
    scheme = location.partition("://")[0]
    if scheme in ("s3", "s3a"):
        properties = table.io.properties
        store = pyarrow.fs.S3FileSystem(
            endpoint_override=properties["s3.endpoint"], access_key=properties["s3.access-key-id"], secret_key=properties["s3.secret-access-key"],
            region=properties["s3.region"],
        )
        found = store.get_file_info(pyarrow.fs.FileSelector(location.partition("://")[2], recursive=True))
        return [path_of(f"{scheme}://{one.path}") for one in found if one.is_file]
    if scheme == "hdfs":
        return list(on_hdfs(table.io.properties["webhdfs.http"], location))
    folder = path_of(location)
    return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]


def on_hdfs(http, folder):
    """Paths of all files below a folder of a cluster, by WebHDFS."""
    with webhdfs_io.call("GET", http, folder, "LISTSTATUS") as answer:
        found = json.load(answer)["FileStatuses"]["FileStatus"]
    for one in found:
        path = f"{folder}/{one['pathSuffix']}"
        if one["type"] == "DIRECTORY":
            yield from on_hdfs(http, path)
        else:
            yield path_of(path)


def path_of(uri):
    """The path in a URI, since one store has several names."""
    scheme, found, rest = uri.partition("://")
    return "/" + rest.partition("/")[2] if found else scheme.removeprefix("file:")


def version(path):
    """The number of a metadata file."""
    match = VERSION.search(path.rpartition("/")[2])
    return int(match[1]) if match else 0


def is_checksum(path):
    """Hadoop's local file system writes one beside each file."""
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(".crc")
