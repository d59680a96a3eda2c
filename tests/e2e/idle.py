"""Echoes on any number of connections, or opens them: idle.py serve | idle.py hold HOST COUNT GO.

Who holds them waits until the file GO exists; then each is used once, and all are closed. Who echoes forks a child at
SIGUSR1, as for a snapshot, and ends it at SIGUSR2.
"""

import os
import resource
import selectors
import signal
import socket
import sys
import time

LISTEN = ("0.0.0.0", 7000)


def all_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def snapshots():
    child = None

    def begin(*_):
        nonlocal child
        child = os.fork()
        if child == 0:
            signal.pause()
        print("forked", flush=True)

    def end(*_):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)


def serve():
    all_descriptors()
    snapshots()
    listener = socket.create_server(LISTEN, backlog=4096)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    connections = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    continue
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ)
                connections += 1
            elif data := key.fileobj.recv(64):
                key.fileobj.sendall(data)
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                connections -= 1
                if connections == 0:
                    print("all are gone", flush=True)


def hold(host, count, go):
    all_descriptors()
    connections = [socket.create_connection((host, LISTEN[1]), 20) for _ in range(count)]
    print("all are connected", flush=True)
    while not os.path.exists(go):
        time.sleep(0.02)
    for number, connection in enumerate(connections):
        connection.sendall(str(number).encode())
    for number, connection in enumerate(connections):
        answer = connection.recv(64).decode()
        assert answer == str(number), (answer, number)
    for connection in connections:
        connection.close()
    print(f"{count} were answered", flush=True)


if sys.argv[1] == "serve":
    serve()
else:
    hold(sys.argv[2], int(sys.argv[3]), sys.argv[4])
