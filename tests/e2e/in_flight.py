"""Accepts connections while the user may have no more descriptors in flight (ETOOMANYREFS), by polling now and then, and
says how many.

in_flight.py PORT COUNT
"""
import errno
import select
import socket
import sys

listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
listener.setblocking(False)

here, there = socket.socketpair()
try:
    while True:
        socket.send_fds(here, [b"."], [0])
except OSError as error:
    print("in flight:", errno.errorcode[error.errno], flush=True)

waiting = select.poll()
waiting.register(listener, select.POLLIN)
accepted = []
for _ in range(100):
    waiting.poll(20)
    try:
        accepted.append(listener.accept()[0])
    except BlockingIOError:
        continue
    accepted[-1].sendall(b"well")
    if len(accepted) == int(sys.argv[2]):
        break
print("accepted", len(accepted), flush=True)
