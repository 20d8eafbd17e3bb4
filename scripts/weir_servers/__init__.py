"""The servers behind `scripts/servers`.

`cli` reads the command line; `run` keeps the record of one run folder; `lifecycle` starts, stops, pauses and resets what that record
holds; `process` starts and signals single processes; `cache` holds what is downloaded once; and there is one module for each server,
which says how it is fetched, configured, started and asked whether it is ready.
"""
