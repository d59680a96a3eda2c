"""Programs that look at a socket once the process is dead that has its stack.

last_words.py accepts PORT GO         listens, accepts, and has a child look at the connection once GO is there
last_words.py asks ADDRESS PORT GO    sends to where nobody listens, and has a child look at the socket once GO is there
last_words.py queues ADDRESS PORT GO  as asks, twice, and the child reads the error queue before and once GO is there
last_words.py copies ADDRESS PORT GO  sends with MSG_ZEROCOPY, and has a child that does, too, once GO is there
last_words.py shuts PORT SHUT GO      listens, accepts, and has a child that writes no more once SHUT is there, and looks
last_words.py counts PORT GO          has a child count the datagrams that have come, once GO is there
last_words.py floods ADDRESS PORT GO  sends so many once GO is there
last_words.py marked PORT GO          listens, accepts, and has a child read up to an urgent byte once GO is there
last_words.py lone PORT GO            listens, accepts, and has a child poll, and receive an urgent byte once GO is there
last_words.py urges ADDRESS PORT GO   connects, and sends one once GO is there
last_words.py pricks ADDRESS PORT     connects, and sends nothing else
last_words.py resets ADDRESS PORT GO  connects, and resets that once GO is there
last_words.py leaves ADDRESS PORT     connects, and closes its half
"""
import fcntl
import os
import select
import socket
import struct
import sys
import time

how, words = sys.argv[1], sys.argv[2:]

# What is queued costs more than twice its bytes, and a bound is doubled.
MANY = 300
SIOCATMARK = 0x8905
SO_ZEROCOPY = 60
MSG_ZEROCOPY = 0x4000000
IP_RECVERR = 11
FLAGS = ["POLLIN", "POLLPRI", "POLLOUT", "POLLERR", "POLLHUP", "POLLRDHUP"]


def say(text):
    os.write(1, f"{text}\n".encode())


def await_file(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def polled(looked_at):
    """What poll(2) tells, and nothing else is asked before."""
    poll = select.poll()
    poll.register(looked_at, sum(getattr(select, flag) for flag in FLAGS))
    flags = dict(poll.poll(5000)).get(looked_at.fileno(), 0)
    return " ".join(flag[4:] for flag in FLAGS if flags & getattr(select, flag))


def error(looked_at):
    return looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def accepted(port):
    listener = socket.create_server(("0.0.0.0", port))
    say("listening")
    return listener.accept()[0]


def connected(address, port):
    while True:
        try:
            return socket.create_connection((address, port), timeout=10)
        except ConnectionRefusedError:
            time.sleep(0.01)


def look(looked_at, go):
    await_file(go)
    # The first look is one of who slept meanwhile, or has yet to ask anything.
    say(f"polls {polled(looked_at)}")
    name = looked_at.getsockname()[1]
    say(f"has {error(looked_at)} {error(looked_at)} at {name}")
    say(f"then polls {polled(looked_at)}")
    os._exit(0)


def completed(connection):
    """Which sends the error queue says are complete."""
    numbers = []
    while True:
        try:
            _, told, _, _ = connection.recvmsg(0, 200, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return numbers
        first, last = struct.unpack("=2I", told[0][2][8:16])
        numbers += range(first, last + 1)


def reported(looked_at):
    """What the oldest entry of the error queue says."""
    try:
        payload, told, _, whom = looked_at.recvmsg(100, 200, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return "nothing"
    number, origin, kind, code = struct.unpack("=I3B", told[0][2][:7])
    offender = socket.inet_ntoa(told[0][2][20:24])
    return f"{number} from {origin} {kind} {code} {offender} for {whom[1]} about {payload}"


def send_uncopied(connection, many):
    for _ in range(many):
        connection.send(b"c" * 100, MSG_ZEROCOPY)
    time.sleep(0.3)


def with_child(looked_at, child):
    if os.fork() == 0:
        child()
    looked_at.close()
    say("forked")
    time.sleep(60)


match how:
    case "accepts":
        connection = accepted(int(words[0]))
        with_child(connection, lambda: look(connection, words[1]))
    case "asks":
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.bind(("0.0.0.0", 7001))
        client.connect((words[0], int(words[1])))
        client.send(b"?")
        with_child(client, lambda: look(client, words[2]))
    case "queues":
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        client.connect((words[0], int(words[1])))
        for payload in [b"one", b"two", b"three"]:
            client.send(payload)
            polled(client)
            error(client)

        def read():
            say(f"reads {reported(client)}")
            await_file(words[2])
            say(f"polls {polled(client)}")
            for _ in range(3):
                say(f"reads {reported(client)}")
            say(f"then polls {polled(client)}")
            os._exit(0)

        with_child(client, read)
    case "copies":
        connection = connected(words[0], int(words[1]))
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        send_uncopied(connection, 2)
        say(f"complete are {completed(connection)}")
        send_uncopied(connection, 3)

        def send():
            await_file(words[2])
            say(f"polls {polled(connection)}")
            say(f"complete are {completed(connection)}")
            send_uncopied(connection, 1)
            say(f"then {completed(connection)}")
            os._exit(0)

        with_child(connection, send)
    case "shuts":
        connection = accepted(int(words[0]))

        def shut():
            while connection.recv(100):
                pass
            say("ended")
            await_file(words[1])
            connection.shutdown(socket.SHUT_WR)
            say("shut")
            await_file(words[2])
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
            say(f"is in state {info[0]}")
            os._exit(0)

        with_child(connection, shut)
    case "counts":
        server = socket.socket(type=socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MANY * 2000)
        server.bind(("0.0.0.0", int(words[0])))
        say("listening")

        def count():
            await_file(words[1])
            server.settimeout(0.5)
            for number in range(MANY):
                assert int(server.recv(2000)) == number
            say(f"has all {MANY}")
            os._exit(0)

        with_child(server, count)
    case "floods":
        client = socket.socket(type=socket.SOCK_DGRAM)
        await_file(words[2])
        for number in range(MANY):
            client.sendto(b"%1000d" % number, (words[0], int(words[1])))
            time.sleep(0.001)
        say("done")
    case "marked":
        connection = accepted(int(words[0]))

        def read():
            await_file(words[1])
            say(f"polls {polled(connection)}")
            say(f"reads {connection.recv(100)}")
            at_mark = fcntl.ioctl(connection, SIOCATMARK, bytes(4))
            say(f"is at the mark: {struct.unpack('i', at_mark)[0]}")
            say(f"reads {connection.recv(1, socket.MSG_OOB)} {connection.recv(100)}")
            os._exit(0)

        with_child(connection, read)
    case "lone":
        connection = accepted(int(words[0]))

        def receive():
            select.select([], [], [connection], 10)
            # Who asks for nothing else has it taken out of the pair.
            assert not select.select([connection], [], [], 0.1)[0]
            say(f"polls {polled(connection)}")
            await_file(words[1])
            say(f"still polls {polled(connection)}")
            say(f"receives {connection.recv(1, socket.MSG_OOB)}")
            say(f"then polls {polled(connection)}")
            os._exit(0)

        with_child(connection, receive)
    case "pricks":
        connection = connected(words[0], int(words[1]))
        connection.send(b"!", socket.MSG_OOB)
        time.sleep(60)
    case "urges":
        connection = connected(words[0], int(words[1]))
        await_file(words[2])
        connection.send(b"ab")
        connection.send(b"!", socket.MSG_OOB)
        connection.send(b"cd")
        say("done")
        time.sleep(60)
    case "resets":
        connection = connected(words[0], int(words[1]))
        say("connected")
        await_file(words[2])
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
        say("done")
    case "leaves":
        connection = connected(words[0], int(words[1]))
        connection.shutdown(socket.SHUT_WR)
        say("left")
        time.sleep(60)
