"""Processes that share a port (SO_REUSEPORT), and who counts which of them answer.

    shares.py tcp PORT           serves connections: says its name (its number), then echoes
    shares.py udp PORT           answers datagrams with its name
    shares.py ask ADDRESS PORT COUNT tcp|udp    prints how many answers each name gave
    shares.py hold ADDRESS PORT  opens connections and asks each every 50 ms, until SIGTERM: then
                                 prints how many of them are well
"""

import collections
import os
import signal
import socket
import sys
import threading
import time

NAME = str(os.getpid()).encode()


def shared(kind, port):
    s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("0.0.0.0", port))
    return s


def echo(connection):
    with connection:
        connection.sendall(NAME)
        while data := connection.recv(100):
            connection.sendall(data)


def serve_tcp(port):
    listener = shared(socket.SOCK_STREAM, port)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def serve_udp(port):
    s = shared(socket.SOCK_DGRAM, port)
    print("ready", flush=True)
    while True:
        _, peer = s.recvfrom(100)
        s.sendto(NAME, peer)


def ask_tcp(address):
    with socket.create_connection(address, 10) as s:
        name = s.recv(100)
        s.sendall(b"x")
        assert s.recv(100) == b"x"
        return name


def answer(s, address):
    s.settimeout(2)
    for _ in range(5):
        # What comes while a process leaves may be lost.
        s.sendto(b"x", address)
        try:
            return s.recv(100)
        except TimeoutError:
            pass
    raise TimeoutError("no answer")


def ask_udp(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        name = answer(s, address)
        s.settimeout(0.001)
        try:
            raise AssertionError(f"a second answer, of {s.recv(100)}")
        except TimeoutError:
            return name


def ask(address, port, count, protocol):
    asks = {"tcp": ask_tcp, "udp": ask_udp}[protocol]
    names = collections.Counter(asks((address, port)) for _ in range(count))
    print(*sorted(names.values()))


def hold(address, port):
    connections = [socket.create_connection((address, port), 10) for _ in range(20)]
    for connection in connections:
        connection.recv(100)
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    print("ready", flush=True)
    while not told:
        time.sleep(0.05)
        for connection in connections:
            connection.sendall(b"x")
            assert connection.recv(100) == b"x"
    print(len(connections))


def main(what, *arguments):
    if what == "tcp":
        serve_tcp(int(arguments[0]))
    elif what == "udp":
        serve_udp(int(arguments[0]))
    elif what == "ask":
        ask(arguments[0], int(arguments[1]), int(arguments[2]), arguments[3])
    elif what == "hold":
        hold(arguments[0], int(arguments[1]))


main(*sys.argv[1:])
