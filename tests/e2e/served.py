"""What programs do that a keeper serves, a command each."""

import array
import ctypes
import errno
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time


def attempt(call):
    """Does something; the errno's name, or nothing."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


def stream(port=0, *options):
    made = socket.socket()
    for option in options:
        made.setsockopt(socket.SOL_SOCKET, option, 1)
    made.bind(("0.0.0.0", port))
    return made


def hold(port):
    """Listens with SO_REUSEPORT until it is killed."""
    listener = stream(int(port), socket.SO_REUSEPORT)
    listener.listen()
    print("listening", flush=True)
    listener.accept()


def turns(port):
    """Listens, ends that, and listens anew; connects in vain, and anew, from a port of its own: what that says."""
    libc = ctypes.CDLL(None, use_errno=True)
    listener = stream(int(port))
    for _ in range(2):
        listener.listen()
        libc.shutdown(listener.fileno(), socket.SHUT_RD)
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    print(listener.accept()[0].recv(9), flush=True)
    client = stream(int(port) + 1)
    for destination in (("10.23.7.1", 1), ("10.23.7.1", int(port))):
        print(attempt(lambda: client.connect(destination)))
    print(client.getsockname()[1], client.recv(9))
    listener = socket.socket(type=socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    client = socket.socket(type=socket.SOCK_DGRAM)
    client.connect(("10.23.7.1", 9))
    client.connect(listener.getsockname())
    client.send(b"over")
    print(listener.recv(9))


def bind(port, *options):
    """Binds, with options by their names."""
    print(attempt(lambda: stream(int(port), *(getattr(socket, option) for option in options))))


def within(port):
    """Binds, and connects to a port of this host: whether the address stays."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        made = socket.socket(type=kind)
        made.bind(("0.0.0.0", 0))
        bound = made.getsockname()[1]
        made.connect(("127.0.0.1", int(port)))
        print(made.getsockname() == ("127.0.0.1", bound))


def refused():
    """What takes a right, of a socket that the keeper has."""
    made = stream()
    for option, value in [("SO_MARK", 7), ("SO_PRIORITY", 7), ("SO_PRIORITY", 6)]:
        number = getattr(socket, option)
        print(option, value, attempt(lambda: made.setsockopt(socket.SOL_SOCKET, number, value)))


def short():
    """Binds to an address that is too short, and to one that is not."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        made = socket.socket(type=kind)
        unspecified = struct.pack("=H", socket.AF_UNSPEC)
        libc.bind(made.fileno(), unspecified, len(unspecified))
        print(errno.errorcode[ctypes.get_errno()])
    print(attempt(stream))


def many(count, host, port):
    """Connects until it may not."""
    made = []
    for _ in range(int(count)):
        made.append(socket.socket())
        outcome = attempt(lambda: made[-1].connect((host, int(port))))
        if outcome != "done":
            break
    print(len(made), outcome)
    for connection in made:
        connection.close()
    time.sleep(0.5)
    print(attempt(lambda: socket.create_connection((host, int(port)))))


def fill(host, port):
    """Connects to one who sends, and receives nothing, until it gets no more sockets."""
    made = []
    outcome = "done"
    while outcome == "done" and len(made) < 1000:
        made.append(socket.socket())
        outcome = attempt(lambda: made[-1].connect((host, int(port))))
        time.sleep(0.01)
    print(outcome, flush=True)
    time.sleep(60)


def ask(name, descriptor):
    """Asks what a socket is, with a descriptor as the proof: errno, and whether it is a datagram one."""
    desk = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    desk.settimeout(10)
    desk.connect("\0sidestack/stack/" + name[17:33])
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    desk.sendmsg([struct.pack("=4i", 1, 0, 0, 0)], ancillary)
    answer = desk.recv(4096)
    outcome = struct.unpack_from("=i", answer)[0]
    return errno.errorcode[outcome] if outcome else ["stream", "datagram"][answer[4] >> 1 & 1]


def keepers_name():
    """What root's keeper listens under; the last word is the version."""
    with open("/proc/net/unix") as names:
        return next(line.split("@", 1)[1].strip() for line in names if "@sidestack/keeper/0/" in line)


def create(datagram):
    """Asks the keeper for a socket, past the library: its descriptor, and what it is to be called."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.settimeout(10)
    at = keepers_name()
    door.connect("\0" + at)
    door.send(bytes([ord("c"), 0, datagram, 0, 0]))
    reply, ancillary, _, _ = door.recvmsg(64, socket.CMSG_SPACE(4))
    descriptor = struct.unpack("=i", ancillary[0][2])[0]
    engine, index, generation = struct.unpack("=QII", reply[1:])
    made = socket.socket(fileno=descriptor)
    version = at.rsplit("/", 1)[1]
    return made, f"sidestack/socket/{engine:016x}{index:08x}{generation:08x}/{version}"


def pretends():
    """Tries to be answered about a socket without having it."""
    one, name = create(False)
    # What the next one will be called.
    index = int(name[33:41], 16) + 1
    next_name = f"{name[:33]}{index:08x}00000000{name[49:]}"
    one.bind("\0" + next_name)
    other, other_name = create(True)
    print(other_name == next_name, ask(name, one.fileno()), ask(name, other.fileno()))
    own, _ = socket.socketpair()
    print(ask(name, own.fileno()))
    own.bind("\0" + name)
    print(ask(name, own.fileno()))


def drops(host, port):
    """Gives up what root may, in a forked process, and goes on with new sockets."""
    listener = stream(7000)
    listener.listen()
    if os.fork() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        made = socket.socket()
        made.connect((host, int(port)))
        made.sendall(b"GET /1024.bin HTTP/1.0\r\n\r\n")
        got = b""
        while data := made.recv(65536):
            got += data
        print(len(got.partition(b"\r\n\r\n")[2]), made.getpeername(), flush=True)
        print(attempt(lambda: stream(81)), flush=True)
        os._exit(0)
    os.wait()


def takes_names(*names):
    """Is there first, and listens under other users' names until it is killed."""
    held = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in names]
    for listener, name in zip(held, names):
        listener.bind(f"\0sidestack/{name}")
        listener.listen(1)
    print("listening", flush=True)
    time.sleep(60)


def rubbish(count):
    """Says things that mean nothing to the keeper, with descriptors that it has not asked for; begins and does not go on."""
    chance = random.Random(int(count))
    made, name = create(False)
    door_name = keepers_name()
    reader, writer = os.pipe()
    other = socket.socket()
    descriptors = [made.fileno(), reader, writer, other.fileno()]
    unheard = []
    for _ in range(int(count)):
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.settimeout(10)
        at = "\0" + chance.choice([door_name, "sidestack/stack/" + name[17:33]])
        while attempt(lambda: door.connect(at)) == "EAGAIN":
            time.sleep(0.001)
        first = chance.choice([b"h", b"c", b"", *(struct.pack("=I", what) for what in range(20))])
        message = first + chance.randbytes(chance.randrange(60)) or b"x"
        if chance.random() < 0.2:
            # A datagram, for anybody, with anything asked for it.
            head = chance.randbytes(4) + struct.pack("=2i", chance.choice([94, chance.randrange(200)]), 0)
            kind = bytes([chance.choice([0, 1, 4, 5, 6])])
            fields = b"".join(bytes([chance.randrange(2)]) + chance.randbytes(4) for _ in range(11))
            body = kind + chance.randbytes(22) + fields + chance.randbytes(16 + chance.randrange(3000))
            message = struct.pack("=I", 11) + head + body
        given = array.array("i", chance.choices(descriptors, k=chance.randrange(4)))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)] if given else []
        if chance.random() < 0.9:
            attempt(lambda: door.sendmsg([message], ancillary))
        else:
            unheard = [*unheard[-100:], door]
    print("said")


def nobody_hears(host, port):
    """Twice, while a call sleeps: nobody is there."""
    asked = socket.socket(type=socket.SOCK_DGRAM)
    asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
    asked.connect((host, int(port)))
    for _ in range(2):
        threading.Timer(0.2, asked.send, [b"anybody?"]).start()
        try:
            asked.recv(1)
        except OSError as error:
            print(errno.errorcode[error.errno])


def bound_elsewhere(port):
    """Another program binds the socket, as authbind(1) has it done: one that knows nothing of stacks."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    of_another = f"import socket; socket.socket(fileno=0).bind(('0.0.0.0', {port}))"
    subprocess.run(["env", "-u", "LD_PRELOAD", sys.executable, "-c", of_another], stdin=bound, check=True)
    bound.listen()
    print(bound.getsockname()[1], bound.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    client = socket.create_connection(("127.0.0.1", int(port)), 10)
    bound.accept()[0].send(b"served")
    print(client.recv(10))


def gives_up(count):
    """Processes that give up what root may and end, some after they have had a connection's socket."""
    for number in range(int(count)):
        if os.fork() == 0:
            os.setresuid(65534, 65534, 65534)
            if number % 2:
                stream().listen()
            os._exit(0)
        os.wait()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
