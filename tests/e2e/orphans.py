"""A family of processes, of which one is to be killed.

orphans.py prefork PORT MANY        listens, forks many workers that accept and echo, and waits
orphans.py forking PORT             listens, and forks a child for each connection, which echoes
orphans.py talk ADDRESS PORT GO     has something echoed, and once more when GO is there
orphans.py output ADDRESS PORT FILE connects, has a program that it executes write the file there, and waits
orphans.py fill ADDRESS PORT FILE   connects, forks a child that sends until no more is taken, says how much, and waits
orphans.py leaves PORT              listens, accepts, closes the listener, and has a child echo
orphans.py hands PORT GO            listens, accepts, and once GO is there hands the connection to a child and is killed
orphans.py asks PORT GO             listens, accepts, and has a child that sets an option of the connection once GO is there
orphans.py named NAME GO            has an abstract name as soon as that is free, until GO is there
orphans.py exits PORT               listens, accepts, has a child echo, which it will not wait for, and exits
orphans.py forks PORT MANY          listens, forks a child each millisecond, says which, and waits
orphans.py unread PORT              accepts, forks a child, and reads nothing in either
orphans.py datagrams PORT HOW       has another process send datagrams back, which has the socket by fork, exec or passed
orphans.py joined ADDRESS PORT GO   has a child talk by a UDP socket that it has connected
orphans.py bounce PORT              sends datagrams back
orphans.py ask ADDRESS PORT GO      talks by datagrams
orphans.py bound PORT GO            binds sockets, with which a child listens once GO is there
orphans.py dials PORT GO ADDRESS    binds a socket, with which a child connects once GO is there, and talks
orphans.py retries PORT GO ADDRESS  has a child connect a socket that another was refused, by which a third talks once GO is there
orphans.py heap PORT GO             has many datagrams wait, which a child counts once GO is there
orphans.py pour ADDRESS PORT        sends these
orphans.py answers PORT             listens, accepts, sends back what comes, and says when it ends
"""
import os
import selectors
import signal
import socket
import subprocess
import sys
import time

# Datagrams; more than has room where the sending side alone decides (net.core.wmem_max).
HEAP = 10_000
SO_RCVBUFFORCE = 33

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


def bounce(server):
    """Sends datagrams back; who asks is told what the socket is."""
    while True:
        data, sender = server.recvfrom(65536)
        if data == b"what":
            buffer = server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            data = f"{server.getsockname()} {buffer}".encode()
        server.sendto(data, sender)


def datagrams(how, port):
    here, there = socket.socketpair()
    if how == "passed" and os.fork() == 0:
        here.close()
        _, (number,), _, _ = socket.recv_fds(there, 1, 1)
        bounce(socket.socket(fileno=number))
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
    server.bind(("0.0.0.0", port))
    match how:
        case "passed":
            socket.send_fds(here, [b"1"], [server.fileno()])
        case "exec":
            subprocess.Popen([sys.executable, __file__, "bounce", "0"], stdin=server)
        case "fork":
            if os.fork() == 0:
                bounce(server)
    server.close()


def talk_by_datagrams(client, go):
    """Each datagram is to come back."""
    client.settimeout(10)
    times = 0
    while not os.path.exists(go):
        word = f"again {times}".encode()
        client.send(word)
        assert client.recv(100) == word
        times += 1
        if times == 1:
            say("echoed")
        time.sleep(0.005)
    client.send(b"what")
    say(client.recv(100).decode())
    say("lived")


def await_file(go):
    while not os.path.exists(go):
        time.sleep(0.005)


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
    case "leaves":
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        say("listening")
        connection, _ = listener.accept()
        listener.close()
        say("left")
        if os.fork() == 0:
            while data := connection.recv(65536):
                connection.sendall(data)
            os._exit(0)
        connection.close()
        time.sleep(60)
    case "hands":
        here, there = socket.socketpair()
        if os.fork() == 0:
            here.close()
            _, (number,), _, _ = socket.recv_fds(there, 1, 1)
            connection = socket.socket(fileno=number)
            while data := connection.recv(65536):
                connection.sendall(data)
            os._exit(0)
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        connection, _ = listener.accept()
        await_file(words[1])
        socket.send_fds(here, [b"1"], [connection.fileno()])
        os.kill(os.getpid(), signal.SIGKILL)
    case "asks":
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        say("listening")
        connection, _ = listener.accept()
        if os.fork() == 0:
            await_file(words[1])
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            say("set")
            os._exit(0)
        say("forked")
        time.sleep(60)
    case "retries":
        shared = socket.socket()
        shared.bind(("0.0.0.0", 0))
        third = os.fork()
        if third == 0:
            await_file(words[1])
            shared.sendall(b"by the pair of before")
            say(shared.recv(100).decode())
            os._exit(0)
        child = os.fork()
        if child == 0:
            try:
                shared.connect((words[2], 1))
            except ConnectionRefusedError:
                shared.connect((words[2], int(words[0])))
                os._exit(0)
        shared.close()
        assert os.waitpid(child, 0)[1] == 0
        say("connected")
        time.sleep(60)
    case "heap":
        server = socket.socket(type=socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        server.bind(("0.0.0.0", int(words[0])))
        if os.fork() == 0:
            await_file(words[1])
            server.settimeout(1)
            try:
                for count in range(HEAP + 1):
                    server.recv(2000)
            except TimeoutError:
                say(f"counted {count}")
            os._exit(0)
        say("bound")
        time.sleep(60)
    case "pour":
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.connect((words[0], int(words[1])))
        for number in range(HEAP):
            client.send(bytes(1200))
            if number % 50 == 0:
                time.sleep(0.002)
    case "answers":
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        say("listening")
        connection, _ = listener.accept()
        while data := connection.recv(65536):
            connection.sendall(data)
        say("ended")
    case "named":
        holder = socket.socket(socket.AF_UNIX)
        while holder.getsockname() != b"\0" + words[0].encode():
            try:
                holder.bind(b"\0" + words[0].encode())
            except OSError:
                time.sleep(0.005)
        say("bound")
        await_file(words[1])
    case "exits":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        connection, _ = listener.accept()
        listener.close()
        if os.fork() == 0:
            os.setsid()
            while data := connection.recv(65536):
                connection.sendall(data)
            os._exit(0)
    case "forks":
        listener = socket.create_server(("0.0.0.0", int(words[0])))
        children = []
        for _ in range(int(words[1])):
            child = os.fork()
            if child == 0:
                time.sleep(60)
            children.append(str(child))
            time.sleep(0.001)
        say(f"children {' '.join(children)}")
        time.sleep(60)
    case "output":
        connection = socket.create_connection((words[0], int(words[1])))
        subprocess.Popen(["cat", words[2]], stdout=connection)
        time.sleep(60)
    case "talk":
        connection = socket.create_connection((words[0], int(words[1])))
        connection.settimeout(20)
        for ready in "echoed", "echoed again":
            connection.sendall(b"again")
            assert connection.recv(5, socket.MSG_WAITALL) == b"again"
            say(ready)
            # In silence: of a connection that is being changed when a process is killed, bytes may be lost.
            await_file(words[2])
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
    case "datagrams":
        datagrams(words[1], int(words[0]))
        say("bound")
        time.sleep(60)
    case "joined":
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.connect((words[0], int(words[1])))
        if os.fork() == 0:
            talk_by_datagrams(client, words[2])
            os._exit(0)
        client.close()
        time.sleep(60)
    case "bounce":
        if words[0] == "0":
            bounce(socket.socket(fileno=0))
        server = socket.socket(type=socket.SOCK_DGRAM)
        server.bind(("0.0.0.0", int(words[0])))
        say("bound")
        bounce(server)
    case "ask":
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.connect((words[0], int(words[1])))
        talk_by_datagrams(client, words[2])
    case "bound" | "dials":
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("0.0.0.0", int(words[0])))
        if os.fork() == 0:
            await_file(words[1])
            if how == "bound":
                held.listen()
                say("listening")
                echo(held)
            held.connect((words[2], int(words[0])))
            held.sendall(b"from a port that was bound")
            say(held.recv(100).decode())
            os._exit(0)
        held.close()
        say("bound")
        time.sleep(60)
