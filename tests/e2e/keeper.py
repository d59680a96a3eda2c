"""A program to be killed, and its peer.

keeper.py stream ADDRESS PORT FILE      connects, and sends the file as often as it goes; says how much
keeper.py fill ADDRESS PORT FILE        the same, until no more is taken; then waits
keeper.py hold ADDRESS PORT             connects and waits
keeper.py first ADDRESS PORT            connects, closes first, and waits
keeper.py listen PORT                   accepts, reads nothing, waits
keeper.py count PORT FILE GO            accepts one; once GO is there, reads to the end, and says how it ended
keeper.py end ADDRESS PORT              connects, sends something, says how the connection ends
keeper.py refused ADDRESS PORT          connects until it is refused
"""
import itertools
import os
import socket
import sys
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


def send_on(connection, data):
    """Sends the data, again and again; what was taken is said before anything else happens."""
    sent = 0
    for piece in itertools.cycle(data[at : at + 30000] for at in range(0, len(data), 30000)):
        while piece:
            count = connection.send(piece)
            sent += count
            piece = piece[count:]
            say(sent)


match how:
    case "stream":
        connection = connected(*words[:2])
        connection.settimeout(None)
        send_on(connection, contents(words[2]))
    case "fill":
        connection = connected(*words[:2])
        connection.settimeout(1)
        try:
            send_on(connection, contents(words[2]))
        except TimeoutError:
            say("full")
        time.sleep(60)
    case "hold":
        connection = connected(*words)
        say("connected")
        time.sleep(60)
    case "first":
        connection = connected(*words)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1):
            pass
        connection.close()
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
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        connection = listener.accept()[0]
        connection.settimeout(30)
        while not os.path.exists(words[2]):
            time.sleep(0.01)
        received, how = ending(connection)
        data = contents(words[1])
        whole = data * (len(received) // len(data) + 1)
        assert whole.startswith(received), "not what was sent"
        say(f"{len(received)} {how}")
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
