"""Weir's answers beside the expected ones."""

import json
import re
import subprocess
import sys
from collections import Counter

MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|[+-]00:?00)?$")
CLOCK = re.compile(r"^(\d\d:\d\d:\d\d)(?:\.(\d+))?$")


def compare(weir, folder, written):
    """Asks Weir every query, tells how each answer compares, and gives the number of those that are wrong."""
    init = folder / "foreign.sql"
    init.write_text(written["init"] + ";\n", encoding="utf-8")
    wrong = 0
    for check in written["checks"]:
        output = ask(weir, init, check["sql"])
        found = [json.loads(line) for line in output.stdout.splitlines()] if output.returncode == 0 else None
        wrong += told(check["sql"], rows_differ(found, check["rows"]) if found is not None else output.stderr)
    for refusal in written.get("refusals", []):
        output = ask(weir, init, refusal["sql"])
        missing = [words for words in refusal["says"] if words not in output.stderr]
        complaint = f"was answered:\n{output.stdout}" if output.returncode == 0 else f"the refusal lacks {missing}:\n{output.stderr}"
        wrong += told(refusal["sql"], complaint if output.returncode == 0 or missing else "")
    complaints = written.get("complaints", [])
    for complaint in complaints:
        wrong += told(complaint, "  so says the engine, of what it reads itself")
    total = len(written["checks"]) + len(written.get("refusals", [])) + len(complaints)
    print(f"{total - wrong} of {total} answers are right")
    return wrong


def ask(weir, init, sql):
    """Runs one query."""
    command = [weir, "sql", "--init", init, "--format", "json", "-e", sql]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def told(sql, complaint):
    """Prints one line for a right answer, and what is wrong with another; counts the wrong ones."""
    print(f"{'WRONG' if complaint else 'right'}  {sql}")
    if complaint:
        print(complaint, file=sys.stderr)
    return int(bool(complaint))


def rows_differ(found, expected):
    """How two bags of rows differ; empty if they do not."""
    ours, theirs = (Counter(json.dumps(plain(row), sort_keys=True) for row in rows) for rows in (found, expected))
    lines = [f"  only Weir: {row}" for row in list((ours - theirs).elements())[:5]]
    lines += [f"  only they: {row}" for row in list((theirs - ours).elements())[:5]]
    return "\n".join([f"  {len(found)} rows, expected {len(expected)}", *lines]) if lines else ""


def plain(value):
    """One form for what the engines write in several: moments without a zone's letter, numbers as numbers, maps by their keys."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str):
        for form in (MOMENT, CLOCK):
            if match := form.match(value):
                *whole, fraction = match.groups()
                return " ".join(whole) + ("." + fraction.rstrip("0") if fraction and fraction.strip("0") else "")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**53 else value
    return value
