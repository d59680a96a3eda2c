"""Runs tests of CPython's own suite and prints a line for each: its name, a tab, how it ended.

cpython.py SECONDS MODULE... [--quick]     It ends after so many seconds whatever happens.
"""
import faulthandler
import io
import os
import sys
import tempfile
import unittest
from test import support

# Not about Internet sockets.
OTHERS = (
    "VSOCK", "CAN", "ISOTP", "J1939", "TIPC", "RDS", "QIPCRTR", "Bluetooth", "SCTP", "UDPLITE", "Crypto", "Windows",
    "MacOS",
)
# Left out where there is little time.
SLOW = (
    "Unix", "AbstractNamespace", "SocketPair", "ssl", "SSL",
    # Sleep long, for nothing that is not tested elsewhere.
    "test_poll2", "Unicode", "LineBuffered", "SmallBuffered", "OutsideTimeout",
)
# What a loaded machine fails on the kernel, too; what asks a name server; what needs nearly all descriptors, of which
# some are ours where the limit cannot be raised.
UNRELIABLE = ("test_control_and_wait", "SelectorTestCase.test_timeout", "test_idna", "test_above_fd_setsize")


class Outcomes(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.of = {}

    def note(self, test, outcome):
        # The first one that is not fine is what counts.
        if self.of.get(test.id(), "ok") == "ok":
            self.of[test.id()] = outcome

    def addSuccess(self, test):
        self.note(test, "ok")

    def addSkip(self, test, reason):
        self.note(test, "skipped")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note(test, "failed")

    def addError(self, test, error):
        super().addError(test, error)
        self.note(test, "failed")

    def addExpectedFailure(self, test, error):
        self.note(test, "failed as expected")

    def addUnexpectedSuccess(self, test):
        self.note(test, "succeeded unexpectedly")


def single(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from single(test)
        else:
            yield test


faulthandler.dump_traceback_later(int(sys.argv[1]), exit=True, file=sys.__stderr__)
# The tests of socketserver ask for it, though they stay within the host.
support.use_resources = {"network": None}
results = Outcomes()
left_out = OTHERS + UNRELIABLE + (SLOW if "--quick" in sys.argv else ())
with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    for module in (word for word in sys.argv[2:] if word != "--quick"):
        loaded = unittest.defaultTestLoader.loadTestsFromName(module)
        fresh = [t for t in single(loaded) if t.id() not in results.of]
        chosen = [t for t in fresh if not any(word in t.id() for word in left_out)]
        said = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = io.StringIO()
        unittest.TestSuite(chosen).run(results)
        sys.stdout, sys.stderr = said
    os.chdir("/")
for name, outcome in sorted(results.of.items()):
    print(name, outcome, sep="\t")
for test, trace in results.failures + results.errors:
    print(test.id(), trace, file=sys.stderr)
