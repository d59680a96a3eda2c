"""A family of processes, of which one is to be killed.

orphans.py prefork PORT MANY      listens, forks many workers that accept and echo, and waits
"""
import os
import selectors
import socket
import sys
import time

how, words = sys.argv[1], sys.argv[2:]


def say(text):
    os.write(1, f"{text}\n".encode())


def echo(listener):
    """Serves all connections that this process accepts."""
    selector = selectors.DefaultSelector()
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    continue
                selector.register(connection, selectors.EVENT_READ)
                connection.setblocking(True)
                continue
            try:
                data = key.fileobj.recv(65536)
                key.fileobj.sendall(data)
            except OSError:
                data = b""
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()


match how:
    case "prefork":
        port, many = map(int, words)
        listener = socket.create_server(("0.0.0.0", port), backlog=128)
        for _ in range(many):
            if os.fork() == 0:
                echo(listener)
        say("forked")
        time.sleep(60)
