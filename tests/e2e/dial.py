"""Connects four times, the second to the fourth time when a file appears, and says what came of it.

dial.py ADDRESS PORT FILE
"""
import errno
import os
import socket
import sys
import time

for attempt in range(1, 5):
    deadline = time.monotonic() + 15
    while attempt > 1 and not os.path.exists(f"{sys.argv[3]}.{attempt}") and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5):
            print(f"{attempt}: connected", flush=True)
    except OSError as error:
        print(f"{attempt}: {errno.errorcode.get(error.errno, error)}", flush=True)
