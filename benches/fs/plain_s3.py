"""Moves files between a folder and S3 with boto3: `put|get FOLDER BUCKET PREFIX AT_ONCE NAME...`. Prints how many requests it made."""

import concurrent.futures
import itertools
import json
import sys

import boto3


def main() -> None:
    direction, folder, bucket, prefix, at_once, *names = sys.argv[1:]
    client = boto3.client("s3")
    requests = itertools.count()

    def count(**_) -> None:
        next(requests)  # what a hook gives back would be taken for the answer

    client.meta.events.register("before-send.s3", count)

    def move(name: str) -> None:
        if direction == "put":
            client.upload_file(f"{folder}/{name}", bucket, f"{prefix}/{name}")
        else:
            client.download_file(bucket, f"{prefix}/{name}", f"{folder}/{name}")

    with concurrent.futures.ThreadPoolExecutor(int(at_once)) as pool:
        for done in [pool.submit(move, name) for name in names]:
            done.result()
    print(json.dumps({"requests": next(requests)}))


main()
