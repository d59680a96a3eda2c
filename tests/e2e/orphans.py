"""A family of processes, of which one is to be killed.

orphans.py prefork PORT MANY        listens, forks many workers that accept and echo, and waits
orphans.py output ADDRESS PORT FILE connects, has a program that it executes write the file there, and waits
orphans.py fill ADDRESS PORT FILE   connects, forks a child that sends until no more is taken, says how much, and waits
orphans.py unread PORT              accepts, forks a child, and reads nothing in either
"""
import os
import selectors
import socket
import subprocess
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
    case "output":
        connection = socket.create_connection((words[0], int(words[1])))
        subprocess.Popen(["cat", words[2]], stdout=connection)
        time.sleep(60)
    case "fill":
        connection = socket.create_connection((words[0], int(words[1])))
        if child := os.fork():
            say(f"child {child}")
            time.sleep(60)
        connection.settimeout(1)
        sent = 0
        with open(words[2], "rb") as file:
            data = file.read()
        try:
            while True:
                sent += connection.send(data[sent % len(data) :][:30000])
        except TimeoutError:
            say(f"{connection.getsockname()[1]} {sent}")
        time.sleep(60)
    case "unread":
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        connection, _ = listener.accept()
        if child := os.fork():
            say(f"child {child}")
        time.sleep(60)
