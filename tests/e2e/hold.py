"""Waits in a call, or holds connections, until it is killed.

hold.py recv|read|poll|epoll|accept|udp ADDRESS PORT
hold.py many ADDRESS PORT COUNT
hold.py gather ADDRESS PORT COUNT   connects so often, a moment between each, and ends
hold.py serve ADDRESS PORT          accepts and holds
"""
import os
import select
import socket
import sys
import time

how, server = sys.argv[1], (sys.argv[2], int(sys.argv[3]))


def waiting():
    print("waiting", flush=True)


def registered(kind, connection):
    poller = kind()
    poller.register(connection.fileno(), select.POLLIN)
    return poller


match how:
    case "recv" | "read" | "poll" | "epoll":
        connection = socket.create_connection(server)
        waiting()
        match how:
            case "recv":
                connection.recv(1)
            case "read":
                os.read(connection.fileno(), 1)
            case "poll":
                registered(select.poll, connection).poll()
            case "epoll":
                registered(select.epoll, connection).poll()
    case "accept":
        listener = socket.create_server(("0.0.0.0", 5000))
        waiting()
        listener.accept()
    case "udp":
        receiver = socket.socket(type=socket.SOCK_DGRAM)
        receiver.bind(("0.0.0.0", 5000))
        waiting()
        receiver.recv(1)
    case "many":
        held = [socket.create_connection(server) for _ in range(int(sys.argv[4]))]
        waiting()
        held[0].recv(1)
    case "gather":
        held = []
        for _ in range(int(sys.argv[4])):
            held.append(socket.create_connection(server))
            time.sleep(0.01)
    case "serve":
        listener = socket.create_server(server, backlog=4096)
        held = []
        while True:
            held.append(listener.accept()[0])
