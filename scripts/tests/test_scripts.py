"""Tests of what the scripts decide by themselves, without a server: `python3 -m unittest discover scripts/tests`."""

import importlib.machinery
import importlib.util
import os
import pathlib
import random
import signal
import sys
import tempfile
import unittest
from collections import Counter
from unittest import mock

SCRIPTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))
sys.dont_write_bytecode = True

from foreign_writers import comparison  # noqa: E402 (the path is set above)
from judges import steps  # noqa: E402
from weir_servers import cache, certificates, kafka, lifecycle, ports, process, s3  # noqa: E402
from weir_servers.cli import KNOWN  # noqa: E402
from weir_servers.run import Run  # noqa: E402
from weir_servers.server import Site  # noqa: E402


def load(name):
    """A script that is no module by its name."""
    loader = importlib.machinery.SourceFileLoader(name, str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class InOwnCache(unittest.TestCase):
    """Tests that may write to the cache get one of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        patch = mock.patch.dict(os.environ, {"WEIR_CACHE": str(self.folder / "cache")})
        patch.start()
        self.addCleanup(patch.stop)


class Cache(InOwnCache):
    def test_an_entry_is_made_once(self):
        made = []

        def make(folder):
            made.append(folder)
            (folder / "file").write_text("whole")

        for _ in range(2):
            self.assertEqual((cache.ensure("thing", "1", make) / "file").read_text(), "whole")
        self.assertEqual(len(made), 1)

    def test_an_entry_that_was_cut_off_is_made_again(self):
        def breaks(folder):
            (folder / "half").write_text("")
            raise cache.Failed("the network went away")

        with self.assertRaises(cache.Failed):
            cache.ensure("thing", "1", breaks)
        place = cache.ensure("thing", "1", lambda folder: (folder / "file").write_text("whole"))
        self.assertEqual([file.name for file in place.iterdir()], ["file"])


class Ports(InOwnCache):
    def test_a_port_is_not_given_to_two_runs(self):
        first, second = ports.pick(50), ports.pick(50)
        self.assertEqual(len({*first, *second}), 100)


class Steps(unittest.TestCase):
    def setUp(self):
        self.rows = Counter({(1, "k1", 7, 0, 0): 1, (2, "k2", 14, 0, 1): 2, (3, "k0", 21, 1, 1): 1})

    def after(self, kind, **step):
        return steps.applied(self.rows, {"kind": kind, "range": [0, 0], "rows": [], **step})

    def test_rows_of_a_range_go_and_others_come(self):
        self.assertEqual(self.after("overwrite", range=[2, 3], rows=[[9, "o", -9, 99, 9]]), Counter([*list(self.rows)[::2], (9, "o", -9, 99, 9)]))

    def test_a_partition_is_replaced(self):
        self.assertEqual(self.after("overwrite_part", part="k2", rows=[[9, "k2", -9, 99, 9]])[(9, "k2", -9, 99, 9)], 1)
        self.assertEqual(self.after("overwrite_part", part="k2").total(), 2)

    def test_an_update_keeps_the_number_of_equal_rows(self):
        self.assertEqual(self.after("update", range=[2, 4]), Counter({(1, "k1", 7, 0, 0): 1, (2, "k2", 15, 0, 1): 2, (3, "k0", 22, 1, 1): 1}))

    def test_a_compaction_changes_nothing(self):
        self.assertEqual(self.after("compact"), self.rows)

    def test_a_seed_always_gives_the_same_steps(self):
        kinds = ("append", "delete", "overwrite", "overwrite_part", "compact")
        runs = [[steps.chosen(chance, number, 100, kinds) for number in range(20)] for chance in (random.Random(3), random.Random(3))]
        self.assertEqual(*runs)
        self.assertEqual(runs[0][0]["kind"], "append")


class Processes(InOwnCache):
    def start(self):
        pid, begun = process.spawn(process.Program("sleeper", ["sleep", 600]), self.folder, self.folder / "log")
        self.addCleanup(lambda: process.send(pid, begun, signal.SIGKILL))
        return pid, begun

    def test_only_the_process_that_was_meant_is_signalled(self):
        pid, begun = self.start()
        self.assertFalse(process.send(pid, begun - 1, signal.SIGKILL), "another one had this pid before")
        self.assertTrue(process.alive(pid, begun))
        process.end(pid, begun, signal.SIGTERM, 10)
        self.assertFalse(process.alive(pid, begun))

    def test_a_paused_process_can_be_stopped(self):
        pid, begun = self.start()
        process.send_family(pid, begun, signal.SIGSTOP)
        process.end(pid, begun, signal.SIGTERM, 10)
        self.assertFalse(process.alive(pid, begun))

    def test_nothing_starts_in_a_run_that_was_stopped(self):
        run = Run(self.folder / "run")
        run.open()
        lifecycle.stop(run, [])
        with self.assertRaises(cache.Failed):
            run.start("sleeper", process.Program("sleeper", ["sleep", 600]), self.folder)
        self.assertEqual(run.processes("sleeper"), {})


class Security(InOwnCache):
    def test_certificates_are_signed_for_the_loopback_and_made_once(self):
        made = certificates.made_in(self.folder / "tls")
        told = cache.call(["openssl", "verify", "-CAfile", made.authority, "-verify_ip", "127.0.0.1", made.server, made.client], "a check")
        self.assertEqual(told.count(": OK"), 2, told)
        before = made.server.read_bytes()
        self.assertEqual(certificates.made_in(self.folder / "tls").server.read_bytes(), before)

    def test_the_broker_has_a_port_for_each_way_in_and_tells_them(self):
        server = KNOWN["kafka"]
        site = Site(self.folder, {name: 20_000 + index for index, name in enumerate(server.port_names)}, {})
        settings, addresses = kafka.settings(site), server.addresses(site)
        listeners = settings["listeners"].split(",")
        self.assertEqual(len({listener.rsplit(":", 1)[1] for listener in listeners}), len(server.port_names))
        self.assertEqual(settings["advertised.listeners"].split(","), [one for one in listeners if not one.startswith("CONTROLLER")])
        for name in ("sasl_plaintext", "sasl_ssl", "ssl"):
            self.assertIn(f"{name.upper()}://{addresses[name]}", listeners)
        self.assertTrue(pathlib.Path(addresses["ca"]).is_file())


class Choices(unittest.TestCase):
    def test_what_a_server_needs_comes_first_and_once(self):
        self.assertEqual(lifecycle.with_needs(KNOWN, ["rest-s3", "s3", "rest-hdfs"]), ["s3", "rest-s3", "hdfs", "rest-hdfs"])

    def test_go_builds_the_s3_server_if_it_is_or_can_become_new_enough(self):
        self.assertTrue(s3.go_will_do("go1.25.0", "local"))
        self.assertTrue(s3.go_will_do("go1.21.5", "auto"))
        self.assertFalse(s3.go_will_do("go1.21.5", "local"))
        self.assertFalse(s3.go_will_do("go1.19.8", "auto"))
        self.assertFalse(s3.go_will_do("", "auto"))

    def test_licence_expressions_are_met_or_not(self):
        accepted = load("check_dependencies").accepted
        for expression in ("MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND ISC", "GPL-2.0 OR Apache-2.0 WITH LLVM-exception"):
            self.assertTrue(accepted(expression), expression)
        for expression in ("", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT GPL-3.0"):
            self.assertFalse(accepted(expression), expression)


class Comparison(unittest.TestCase):
    """Answers of two engines."""

    def test_rows_are_compared_as_bags(self):
        self.assertEqual(comparison.rows_differ([{"a": 1}, {"a": 2}, {"a": 2}], [{"a": 2}, {"a": 1}, {"a": 2.0}]), "")
        self.assertIn("only they", comparison.rows_differ([{"a": 1}, {"a": 2}], [{"a": 2}, {"a": 1}, {"a": 2}]))
        self.assertIn("only Weir", comparison.rows_differ([{"a": None}], [{"a": 0}]))

    def test_moments_agree_however_they_are_written_and_texts_do_not(self):
        same = comparison.rows_differ([{"t": "2026-01-02T03:04:05.000600Z"}], [{"t": "2026-01-02 03:04:05.0006"}])
        self.assertEqual(same, "")
        self.assertTrue(comparison.rows_differ([{"t": "2026-01-02T03:04:05.1"}], [{"t": "2026-01-02T03:04:05.2"}]))
        self.assertTrue(comparison.rows_differ([{"t": "1"}], [{"t": 1}]))
