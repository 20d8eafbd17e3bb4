"""Plans the files of a query with PyIceberg several times; prints files, microseconds of the first and of a later time, 0, and peak bytes."""

import resource
import statistics
import sys
import time

from pyiceberg.table import StaticTable

AGAIN = 3


def main(metadata: str, row_filter: str) -> None:
    table = None

    def plan() -> tuple[int, int]:
        nonlocal table
        begun = time.monotonic()
        table = table or StaticTable.from_metadata(metadata)
        scan = table.scan(row_filter=row_filter) if row_filter else table.scan()
        files = len(list(scan.plan_files()))
        return files, int((time.monotonic() - begun) * 1e6)

    files, cold = plan()
    warm = statistics.median(plan()[1] for _ in range(AGAIN))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(files, cold, int(warm), 0, peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
