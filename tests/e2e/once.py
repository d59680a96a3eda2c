"""Sends FILE to the first who connects to PORT, lets nobody else in, is the first to close, and ends
after the other.

python3 once.py PORT FILE
"""

import socket
import sys
import time

listener = socket.create_server(("", int(sys.argv[1])))
print("listening", flush=True)
connection, _ = listener.accept()
listener.close()
# Till the port is given back, which this process cannot see.
time.sleep(0.3)
with open(sys.argv[2], "rb") as file:
    connection.sendfile(file)
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
