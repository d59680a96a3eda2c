"""Uses something up, says how the program learns of it, gives some back, and goes on.

exhaust.py descriptors|ports ADDRESS PORT
"""
import errno
import os
import resource
import socket
import sys
import time

server = (sys.argv[2], int(sys.argv[3]))
held = []


def dial():
    fresh = socket.socket()
    try:
        fresh.connect(server)
    except OSError:
        fresh.close()
        raise
    held.append(fresh)


def until_error(action):
    for count in range(2000):
        try:
            action()
        except OSError as error:
            return f"{count}, then {errno.errorcode[error.errno]}"
    return "no end"


print("limit", resource.getrlimit(resource.RLIMIT_NOFILE))
if sys.argv[1] == "descriptors":
    print("sockets:", until_error(lambda: held.append(socket.socket())))
    print("highest:", max(s.fileno() for s in held))
    while held:
        held.pop().close()
    print("connections:", until_error(dial))
else:
    # The ports that are still free depend on what took some before: only the errno is told.
    print("connections end with", until_error(dial).split()[-1])
held.pop().close()
if sys.argv[1] == "descriptors":
    # The port of the last one stays taken for a while, so a new one needs more than it had.
    held.pop().close()
    # Where the stack's own descriptors count too, some are free again only when the connection has ended at both sides.
    end = time.monotonic() + 5
    while until_error(dial).startswith("0,") and time.monotonic() < end:
        time.sleep(0.02)
    held[-1].sendall(b"x")
    print("one more:", held[-1].getpeername()[1] == server[1])
while held:
    held.pop().close()
print("a file:", os.close(os.open("/dev/null", os.O_RDONLY)))
