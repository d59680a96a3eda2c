"""A program that has so many connections that the stack's descriptors lie among its own.

among.py counts PORT COUNT          accepts so many connections, and says how many have ended
among.py leaves ADDRESS PORT COUNT  connects so often, leaves that to a child, and ends; then the child does
among.py closes ADDRESS PORT COUNT HOW
                                    connects so often, closes all but some (HOW: close, close_range, closefrom), and says
                                    how many of these go on
among.py replaces ADDRESS PORT COUNT
                                    connects so often, puts another descriptor over every number that is none of its own,
                                    and says how many connections go on
among.py spawns COUNT               makes so many sockets, which a program that it starts inherits and counts
"""
import ctypes
import os
import socket
import sys
import time

MOST = 2**32 - 1
LEAST = 3
KEPT = 10

libc = ctypes.CDLL(None)


def counts(port, count):
    with socket.create_server(("0.0.0.0", port), backlog=count) as listener:
        held = [listener.accept()[0] for _ in range(count)]
    print("accepted", flush=True)
    for ended, connection in enumerate(held):
        connection.settimeout(10)
        try:
            assert connection.recv(1) == b""
        except TimeoutError:
            print(f"{ended} of them ended", flush=True)
            return
    print("all ended", flush=True)


def connected(server, count):
    return [socket.create_connection(server) for _ in range(count)]


def leaves(server, count):
    held = connected(server, count)
    print("connected", flush=True)
    if os.fork() == 0:
        time.sleep(0.3)
        print(f"leaves {len(held)}", flush=True)
    os._exit(0)


def by_close(first):
    for number in range(first, 1024):
        libc.close(number)


def by_close_range(first):
    # In parts, of which some have none of the program's numbers.
    for start in range(first, 1000, 20):
        assert libc.close_range(start, start + 19, 0) == 0
    assert libc.close_range(first, ctypes.c_uint(MOST), 0) == 0


def goes_on(connection):
    connection.settimeout(5)
    try:
        connection.sendall(b"x")
        return connection.recv(1) == b"x"
    except OSError:
        return False


def closes(server, count, close):
    held = connected(server, count)
    # The last ones, whose other ends are among the program's numbers, get the lowest.
    numbers = range(LEAST, LEAST + KEPT)
    for number, connection in zip(numbers, held[-KEPT:], strict=True):
        os.dup2(connection.fileno(), number)
    for connection in held:
        connection.detach()
    close(LEAST + KEPT)
    kept = [socket.socket(fileno=number) for number in numbers]
    # A child is served by what is at the other ends' numbers.
    if os.fork() == 0:
        print(f"{sum(map(goes_on, kept))} go on", flush=True)
        os._exit(0)
    os.wait()


def replaces(server, count):
    held = connected(server, count)
    own = {connection.fileno() for connection in held} | {0, 1, 2}
    null = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in own | {null}:
            # What cannot be had is not open, either.
            libc.dup2(null, number)
    print(f"{sum(map(goes_on, held))} go on")


def spawns(count):
    for _ in range(count):
        # Python's own would be close-on-exec.
        assert libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0) >= 0
    listed = ["sh", "-c", "ls -l /proc/self/fd | grep -c socket:"]
    os.waitpid(os.posix_spawnp("sh", listed, os.environ), 0)


match sys.argv[1:]:
    case "counts", port, count:
        counts(int(port), int(count))
    case "leaves", address, port, count:
        leaves((address, int(port)), int(count))
    case "closes", address, port, count, how:
        ways = {"close": by_close, "close_range": by_close_range, "closefrom": libc.closefrom}
        closes((address, int(port)), int(count), ways[how])
    case "replaces", address, port, count:
        replaces((address, int(port)), int(count))
    case "spawns", count:
        spawns(int(count))
