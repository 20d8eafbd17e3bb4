"""What the writers in Python share: rows as JSON, and the document they print."""

import datetime
import decimal
import json
import uuid


class Document:
    """Collects what a writer expects of Weir."""

    def __init__(self, init):
        self._document = {"init": init, "checks": [], "refusals": [], "complaints": []}

    def check(self, sql, rows):
        """Weir's answer to `sql` must be these rows, in any order."""
        self._document["checks"].append({"sql": sql, "rows": [shown(row) for row in rows]})

    def refuse(self, sql, *says):
        """Weir must refuse `sql` with all of these words."""
        self._document["refusals"].append({"sql": sql, "says": says})

    def complain(self, what):
        """Says that the engine finds something wrong without asking Weir."""
        self._document["complaints"].append(what)

    def print(self):
        """Prints the document as one line."""
        print(json.dumps(self._document))


def shown(value):
    """A value as Weir's JSON shows it."""
    if isinstance(value, dict):
        return {str(key): shown(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    if isinstance(value, datetime.datetime):
        moment = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, float) and value != value:
        return None
    return value
