"""A program to be killed, and its peer.

keeper.py stream ADDRESS PORT FILE MANY connects many times, and sends the file on each as often as it
                                        goes; says each time how much that was, and from which port
keeper.py fill ADDRESS PORT FILE [OWN]  sends until no more is taken; says how much; waits. With a port of its own:
                                        once it was told there, by datagrams, that it is enough
keeper.py leave ADDRESS PORT FILE       sends until no more is taken; says how much, and exits
keeper.py flood ADDRESS PORT            sends more datagrams than a program receives without a ring, says that it is enough
keeper.py hold ADDRESS PORT             connects and waits
keeper.py abort ADDRESS PORT            the same, with SO_LINGER of zero seconds
keeper.py first ADDRESS PORT            connects, closes first, and waits
keeper.py brief ADDRESS PORT            the same, but ends at once
keeper.py listen PORT                   accepts, reads nothing, waits
keeper.py count PORT FILE GO MANY       accepts many; once GO is there, reads to the end, and says of each
                                        client's port how much it was, and how it ended
keeper.py end ADDRESS PORT              connects, sends something, says how the connection ends
keeper.py refused ADDRESS PORT          connects until it is refused
"""
import itertools
import os
import select
import socket
import struct
import sys
import threading
import time

how, words = sys.argv[1], sys.argv[2:]


def say(text):
    os.write(1, f"{text}\n".encode())


def connected(address, port):
    return socket.create_connection((address, int(port)), timeout=20)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def ending(connection):
    """What there is to receive, and how it ends."""
    received = bytearray()
    try:
        while chunk := connection.recv(1 << 16):
            received += chunk
        return received, "end"
    except ConnectionResetError:
        return received, "reset"


def count(data, connection, address):
    connection.settimeout(60)
    received, how = ending(connection)
    whole = data * (len(received) // len(data) + 1)
    how = how if whole.startswith(received) else "other data"
    say(f"{port(address)} {len(received)} {how}")


def pieces(data):
    return itertools.cycle(data[at : at + 30000] for at in range(0, len(data), 30000))


def port(address):
    return address[1]


match how:
    case "stream":
        address, to, path, many = words
        data = contents(path)
        sent = {connected(address, to): 0 for _ in range(int(many))}
        for connection in sent:
            connection.setblocking(False)
        while True:
            for connection in select.select([], sent, [])[1]:
                at = sent[connection] % len(data)
                try:
                    sent[connection] += connection.send(data[at : at + 30000])
                except BlockingIOError:
                    continue
                say(f"{port(connection.getsockname())} {sent[connection]}")
    case "fill" | "leave":
        if words[3:]:
            listens = socket.socket(type=socket.SOCK_DGRAM)
            listens.bind(("0.0.0.0", int(words[3])))
            while listens.recv(10) != b"enough":
                pass
        connection = connected(*words[:2])
        connection.settimeout(1)
        sent = 0
        try:
            for piece in pieces(contents(words[2])):
                while piece:
                    count = connection.send(piece)
                    sent += count
                    piece = piece[count:]
        except TimeoutError:
            say(f"{port(connection.getsockname())} {sent}")
        if how == "fill":
            time.sleep(60)
    case "flood":
        sender = socket.socket(type=socket.SOCK_DGRAM)
        for _ in range(10000):
            sender.sendto(b"more", (words[0], int(words[1])))
        for _ in range(100):
            sender.sendto(b"enough", (words[0], int(words[1])))
            time.sleep(0.05)
    case "hold" | "abort":
        connection = connected(*words)
        if how == "abort":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        say("connected")
        time.sleep(60)
    case "first" | "brief":
        connection = connected(*words)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1):
            pass
        connection.close()
        if how == "brief":
            os._exit(0)
        say("closed")
        time.sleep(60)
    case "listen":
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        say("listening")
        held = []
        while True:
            held.append(listener.accept()[0])
            say(f"accepted {len(held)}")
    case "count":
        to, path, go, many = words
        data = contents(path)
        listener = socket.create_server(("0.0.0.0", int(to)))
        accepted = [listener.accept() for _ in range(int(many))]
        while not os.path.exists(go):
            time.sleep(0.01)
        threads = [threading.Thread(target=count, args=(data, *client)) for client in accepted]
        for thread in threads:
            thread.start()
    case "end":
        connection = connected(*words)
        connection.sendall(b"never read")
        say("connected")
        say(ending(connection)[1])
    case "refused":
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                connected(*words).close()
            except ConnectionRefusedError:
                say("refused")
                sys.exit(0)
            time.sleep(0.05)
        sys.exit("still connected")
