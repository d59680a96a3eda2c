"""Binds a port, and says what came of it.

hold_port.py tcp|udp PORT hold|try
"""
import errno
import socket
import sys
import time

held = socket.socket(type=socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM)
try:
    held.bind(("0.0.0.0", int(sys.argv[2])))
    if sys.argv[1] == "tcp":
        held.listen()
    print("bound", flush=True)
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
if sys.argv[3] == "hold":
    time.sleep(60)
