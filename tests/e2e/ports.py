"""A server that is killed, its clients, and who comes after it.

ports.py send PORT MANY             accepts many, sends each as much as is taken, says of each how much that was; waits
ports.py keep ADDRESS PORT MANY GO  connects many times with little room to receive; once GO is there, reads to the
                                    end, and says of each how much it was and how it ended
ports.py answer PORT                listens, as soon as the port can be had within ten seconds; answers each client
ports.py ask ADDRESS PORT           asks it
ports.py choose                     accepts a client at 40001, answers, closes both sockets; then listens on ports of the
                                    kernel's choice as long as there are some
"""
import errno
import os
import socket
import sys
import time

how, words = sys.argv[1], sys.argv[2:]
PATTERN = bytes(range(251)) * 1000
ROOM = 16384


def say(text):
    os.write(1, f"{text}\n".encode())


def as_much_as_goes(connections):
    """What send takes of each until none takes anything for a moment: the peers do not read."""
    sent, quiet = {connection: 0 for connection in connections}, 0
    while quiet < 5:
        before = sum(sent.values())
        for connection, count in sent.items():
            try:
                sent[connection] += connection.send(PATTERN[count : count + ROOM])
            except BlockingIOError:
                pass
        quiet = quiet + 1 if sum(sent.values()) == before else 0
        time.sleep(0.01)
    return sent


def ending(connection):
    received = bytearray()
    try:
        while chunk := connection.recv(1 << 16):
            received += chunk
        whole = PATTERN.startswith(received)
        return f"{len(received)} {'end' if whole else 'other data'}"
    except OSError as error:
        return f"{len(received)} {errno.errorcode.get(error.errno, error)}"


def listening(port):
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_server(("0.0.0.0", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                sys.exit(f"cannot listen: {error}")
            time.sleep(0.001)


match how:
    case "send":
        listener = socket.create_server(("0.0.0.0", int(words[0])), backlog=4096)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        accepted = [listener.accept()[0] for _ in range(int(words[1]))]
        for connection in accepted:
            connection.setblocking(False)
        for connection, count in as_much_as_goes(accepted).items():
            say(f"{connection.getpeername()[1]} {count}")
        say("sent")
        time.sleep(60)
    case "keep":
        address, to, many, go = words
        kept = []
        for _ in range(int(many)):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            connection.settimeout(30)
            connection.connect((address, int(to)))
            kept.append(connection)
        say("connected")
        while not os.path.exists(go):
            time.sleep(0.01)
        for connection in kept:
            say(f"{connection.getsockname()[1]} {ending(connection)}")
    case "answer":
        listener = listening(int(words[0]))
        say("listening")
        while True:
            client = listener.accept()[0]
            client.sendall(client.recv(100).upper())
            client.close()
    case "ask":
        client = socket.create_connection((words[0], int(words[1])), timeout=20)
        client.sendall(b"well")
        say(client.recv(100).decode())
        client.recv(1)  # The server closes first, and has the TIME-WAIT.
    case "choose":
        listener = socket.create_server(("0.0.0.0", 40001))
        say("listening")
        client = listener.accept()[0]
        listener.close()
        client.sendall(client.recv(100).upper())
        client.close()
        time.sleep(0.2)
        kept = []
        try:
            while True:
                kept.append(socket.socket())
                kept[-1].bind(("0.0.0.0", 0))
                kept[-1].listen()
        except OSError as error:
            say(f"{len(kept) - 1} listen, then {errno.errorcode[error.errno]}")
