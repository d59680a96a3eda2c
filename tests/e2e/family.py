"""Sockets that reach other processes, and what these know of them.

family.py inetd PORT PROGRAM...     for each connection, executes PROGRAM with it as standard input and output
family.py passes PORT PROGRAM...    for each connection, starts PROGRAM with a Unix socket's number, and passes it there
family.py activates PORT            executes itself with a listener as descriptor 3, as systemd does (LISTEN_FDS)
family.py hands PORT HOW            has a worker process of multiprocessing (HOW: fork, spawn, forkserver) serve them
family.py service                   serves standard input: tells what it is, then echoes
family.py ask ADDRESS PORT          connects, and tells what it was told
family.py bounces PORT              has a child send datagrams back, but for those of a flood, and waits for it
family.py rebinds PORT HOW          binds a port (HOW: STREAM, DGRAM) that a child's child has held, and whose heir is
                                    stopped meanwhile
family.py asks PORT                 asks the owners of two sockets, of whom one is stopped
family.py keeps COUNT               has a child keep so many sockets across exec, and says how often it sleeps
family.py stopped ADDRESS PORT      has a child send while its parent is stopped, and says how often it sleeps
family.py closes ADDRESS PORT       has a child close what is unread while its parent is stopped, and another one ask
family.py throw ADDRESS PORT        sends datagrams until one comes back
"""
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time


def described(connection):
    kept = connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    nodelay = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    own, peer = connection.getsockname(), connection.getpeername()
    family = socket.AddressFamily(connection.family).name
    return f"{family} {own[0]}:{own[1]} {peer[0]} keepalive {kept} nodelay {bool(nodelay)} state {state}"


def serve(connection):
    connection.sendall(described(connection).encode() + b"\n")
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()


def listener(port):
    made = socket.create_server(("0.0.0.0", port))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made


def inetd(port, program):
    with listener(port) as server:
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                os.dup2(connection.fileno(), 0)
                os.dup2(connection.fileno(), 1)
                os.execvp(program[0], program)
            connection.close()
            os.wait()


def passes(port, program):
    with listener(port) as server:
        while True:
            connection, _ = server.accept()
            here, there = socket.socketpair()
            with connection, here, there:
                number = there.fileno()
                started = subprocess.Popen([*program, str(number)], pass_fds=[number])
                socket.send_fds(here, [b"."], [connection.fileno()])
            started.wait()


def activates(port):
    server = listener(port)
    os.dup2(server.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    os.execv(sys.executable, [sys.executable, __file__, "activated"])


def activated():
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    server = socket.socket(fileno=3)
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1, "it does not listen"
    assert server.getsockname()[0] == "0.0.0.0", server.getsockname()
    while True:
        serve(server.accept()[0])


def worker(queue):
    while True:
        serve(queue.get())


def hands(port, how):
    context = multiprocessing.get_context(how)
    queue = context.SimpleQueue()
    with listener(port) as server:
        context.Process(target=worker, args=(queue,), daemon=True).start()
        while True:
            connection, _ = server.accept()
            queue.put(connection)
            connection.close()


def ask(address, port):
    sent = os.urandom(300_000)
    with socket.create_connection((address, port), timeout=20) as connection:
        told = b""
        while not told.endswith(b"\n"):
            piece = connection.recv(1)
            assert piece, f"the connection ended after {told}"
            told += piece
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        back = b""
        while piece := connection.recv(65536):
            back += piece
    assert back == sent, f"{len(back)} bytes came back"
    print(told.decode().strip())


def bounces(port):
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", port))
        if os.fork() != 0:
            os.wait()
            return
        while True:
            data, sender = server.recvfrom(65536)
            if data == b"back":
                server.sendto(data, sender)


def bound(port, how):
    made = socket.socket(type=getattr(socket, f"SOCK_{how}"))
    made.bind(("0.0.0.0", port))
    return made


def holder(port, how, let_go):
    """Binds the port, leaves the socket to a child that closes it on request, and ends."""
    made = bound(port, how)
    if os.fork() == 0:
        os.read(let_go, 1)
        made.close()
    os._exit(0)


def heirs(dead):
    """Who has a stack. For a moment an heir has the name of the dead process yet, then none."""
    found = [dead]
    while dead in found or not found and "LD_PRELOAD" in os.environ:
        time.sleep(0.001)
        with open("/proc/net/unix") as names:
            names = [line.rsplit("@sidestack/", 1)[1] for line in names if "@sidestack/" in line]
        found = [int(name) for name in names if name.strip().isdigit()]
    return found


def continues(other, heir):
    """Has the heir go on, after a call that whoever waits for the heir must not hold up."""
    other.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    os.kill(heir, signal.SIGCONT)


def rebinds(port, how):
    (held, end), (let_go, lets_go) = os.pipe(), os.pipe()
    maker = os.fork()
    if maker == 0:
        os.close(held)
        os.close(lets_go)
        holder(port, how, let_go)
    os.close(end)
    os.waitpid(maker, 0)
    stopped = heirs(maker)
    for heir in stopped:
        os.kill(heir, signal.SIGSTOP)
    os.close(lets_go)
    os.read(held, 1)
    other = socket.socket()
    for heir in stopped:
        threading.Timer(0.1, continues, (other, heir)).start()
    bound(port, how)
    print(f"bound after {len(stopped)}")


def owned(port):
    """A process with a socket, and the socket as it reaches another one."""
    here, there = socket.socketpair()
    owner = os.fork()
    if owner == 0:
        made = bound(port, "DGRAM")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        socket.send_fds(there, [b"."], [made.fileno()])
        signal.pause()
    _, (held,), *_ = socket.recv_fds(here, 1, 1)
    return owner, socket.socket(fileno=held)


def asks(port):
    (stopped, silent), (other, answers) = owned(port), owned(port + 1)
    os.kill(stopped, signal.SIGSTOP)
    silent.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
    print("broadcast", answers.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))
    for owner in stopped, other:
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)


def keeps(count):
    held = [bound(0, "DGRAM") for _ in range(count)]
    child = os.fork()
    if child == 0:
        for each in held:
            os.set_inheritable(each.fileno(), True)
        os.execv("/bin/true", ["true"])
    _, status, usage = os.wait4(child, 0)
    assert status == 0, status
    print(usage.ru_nvcsw)


def is_stopped(process):
    with open(f"/proc/{process}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"


def stop(process):
    os.kill(process, signal.SIGSTOP)
    while not is_stopped(process):
        time.sleep(0.001)


def sleeps():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def stopped(address, port):
    connection = socket.create_connection((address, port))
    parent = os.getpid()
    if os.fork() == 0:
        stop(parent)
        before = sleeps()
        connection.send(b"x")
        slept = sleeps() - before
        os.kill(parent, signal.SIGCONT)
        print(slept, flush=True)
        os._exit(0)
    os.wait()
    assert connection.recv(1) == b"x"


def asks_about(connection, asks):
    os.write(asks, b".")
    connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    print("asked", flush=True)
    os._exit(0)


def closes(address, port):
    connection = socket.create_connection((address, port))
    connection.send(b"x")
    parent = os.getpid()
    if os.fork() == 0:
        connection.recv(1, socket.MSG_PEEK)
        stop(parent)
        asked, asks = os.pipe()
        if os.fork() == 0:
            asks_about(connection, asks)
        os.read(asked, 1)
        # It has been asking for a while.
        time.sleep(0.2)
        connection.close()
        print("closed", flush=True)
        os.kill(parent, signal.SIGCONT)
        os.wait()
        os._exit(0)
    os.wait()
    assert connection.recv(1) == b"x"


def throw(address, port):
    with socket.socket(type=socket.SOCK_DGRAM) as thrower:
        thrower.settimeout(0.2)
        for _ in range(100):
            thrower.sendto(b"back", (address, port))
            try:
                print(thrower.recv(100).decode())
                return
            except TimeoutError:
                pass


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["inetd", port, *program]:
            inetd(int(port), program)
        case ["passes", port, *program]:
            passes(int(port), program)
        case ["activates", port]:
            activates(int(port))
        case ["activated"]:
            activated()
        case ["hands", port, how]:
            hands(int(port), how)
        case ["service"]:
            serve(socket.socket(fileno=0))
        case ["ask", address, port]:
            ask(address, int(port))
        case ["bounces", port]:
            bounces(int(port))
        case ["rebinds", port, how]:
            rebinds(int(port), how)
        case ["asks", port]:
            asks(int(port))
        case ["keeps", count]:
            keeps(int(count))
        case ["stopped", address, port]:
            stopped(address, int(port))
        case ["closes", address, port]:
            closes(address, int(port))
        case ["throw", address, port]:
            throw(address, int(port))
