"""A family of processes, of which one is to be killed.

orphans.py prefork PORT MANY        listens, forks many workers that accept and echo, and waits
orphans.py forking PORT             listens, and forks a child for each connection, which echoes
orphans.py talk ADDRESS PORT GO     has something echoed again and again until GO is there
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
    case "forking":
        listener = socket.create_server(("0.0.0.0", int(words[0])), backlog=128)
        say("listening")
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                while data := connection.recv(65536):
                    connection.sendall(data)
                os._exit(0)
            connection.close()
    case "output":
        connection = socket.create_connection((words[0], int(words[1])))
        subprocess.Popen(["cat", words[2]], stdout=connection)
        time.sleep(60)
    case "talk":
        connection = socket.create_connection((words[0], int(words[1])))
        connection.settimeout(20)
        times = 0
        while not os.path.exists(words[2]):
            connection.sendall(b"again")
            assert connection.recv(5, socket.MSG_WAITALL) == b"again"
            times += 1
            if times == 1:
                say("echoed")
            time.sleep(0.01)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        say("lived")
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
