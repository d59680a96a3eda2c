"""handing.py BOOK PORT: hands each connection to one of two worker processes, which echo (see family.h)."""

import mmap
import multiprocessing
import os
import socket
import struct
import sys
import threading
import time

ENTRY, LIVED, RESET = 56, 1, 4


def note(book, number, layout, offset, *values):
    struct.pack_into(layout, book, 8 + number * ENTRY + offset, *values)


def serve(book, connection):
    greeting = connection.recv(16, socket.MSG_WAITALL)
    if len(greeting) < 16:
        return
    number, _, _ = struct.unpack("IIQ", greeting)
    note(book, number, "I", 16, os.getpid())
    received = sent = 0
    how = LIVED
    try:
        while data := connection.recv(65536):
            received += len(data)
            while data:
                count = connection.send(data)
                sent += count
                note(book, number, "QQ", 24, sent, received)
                data = data[count:]
    except OSError:
        how = RESET
    note(book, number, "I", 4, how)


def serve_and_close(book, connection):
    with connection:
        serve(book, connection)


def work(book, way, listener):
    listener.close()
    while True:
        _, descriptors, _, _ = socket.recv_fds(way, 1, 1)
        if not descriptors:
            # Without its parent a worker serves what it has.
            threading.Event().wait()
        connection = socket.socket(fileno=descriptors[0])
        threading.Thread(target=serve_and_close, args=(book, connection), daemon=True).start()


def start(context, book, listener):
    ours, theirs = socket.socketpair()
    process = context.Process(target=work, args=(book, theirs, listener), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def main():
    with open(sys.argv[1], "r+b") as file:
        book = mmap.mmap(file.fileno(), 0)
    context = multiprocessing.get_context("fork")
    listener = socket.create_server(("0.0.0.0", int(sys.argv[2])), backlog=128)
    workers = [start(context, book, listener) for _ in range(2)]
    turn = 0
    while True:
        # A worker that is started has no connection of its parent's.
        workers = [worker if worker[0].is_alive() else start(context, book, listener) for worker in workers]
        turn += 1
        try:
            connection, _ = listener.accept()
        except OSError:
            time.sleep(0.01)
            continue
        with connection:
            try:
                socket.send_fds(workers[turn % 2][1], [b"."], [connection.fileno()])
            except OSError:
                # The worker has just died.
                pass


main()
