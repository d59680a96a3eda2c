"""A server at its limit of descriptors, which gives up one that it has kept back to accept a connection and close it.

kept_back.py PORT TIMES
"""
import errno
import os
import select
import socket
import sys
import time


def null():
    return os.open("/dev/null", os.O_RDONLY)


def accepted():
    try:
        return listener.accept()[0]
    except OSError as error:
        return errno.errorcode[error.errno]


listener = socket.create_server(("", int(sys.argv[1])))
kept_back = null()
end = time.monotonic() + 1
while time.monotonic() < end:
    # (The library gives back what it has needed for a moment.)
    try:
        while True:
            null()
    except OSError as error:
        full = errno.errorcode[error.errno]
    time.sleep(0.05)
print("files:", full, flush=True)
for _ in range(int(sys.argv[2])):
    readable, _, _ = select.select([listener], [], [], 10)
    print("waits:", bool(readable), accepted())
    os.close(kept_back)
    connection = accepted()
    print("with one more:", connection if isinstance(connection, str) else "accepted", flush=True)
    connection = None
    kept_back = null()
