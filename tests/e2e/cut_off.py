"""Receives until the kernel sees its datagrams no more, forks a child that ends at once, and says how many the kernel has
seen of those that came then.

cut_off.py PORT
"""
import os
import socket
import sys
import time


def seen():
    """How many packets the kernel's IP has received."""
    with open("/proc/net/snmp") as table:
        names, values = [line.split() for line in table if line.startswith("Ip:")]
    return int(values[names.index("InReceives")])


def receive(count):
    for _ in range(count):
        arriving.recv(100)


arriving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
arriving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
arriving.bind(("0.0.0.0", int(sys.argv[1])))
arriving.settimeout(10)
print("receives", flush=True)
end = time.monotonic() + 20
receive(5000)
while True:
    before = seen()
    receive(200)
    if seen() - before < 20:
        break
    if time.monotonic() > end:
        print("never cut off", flush=True)
        sys.exit()
child = os.fork()
if child == 0:
    os._exit(0)
status = os.waitpid(child, 0)[1]
before = seen()
receive(1000)
print("child", status, "seen", "few" if seen() - before < 100 else "many", flush=True)
