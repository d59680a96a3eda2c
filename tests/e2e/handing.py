"""Accepts connections and hands each to one of two worker processes (SCM_RIGHTS), which echo."""

import multiprocessing
import socket


def work(connections):
    while True:
        connection = connections.recv()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)


def main():
    context = multiprocessing.get_context("spawn")
    workers = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        context.Process(target=work, args=(theirs,), daemon=True).start()
        workers.append(ours)
    listener = socket.create_server(("0.0.0.0", 7000))
    turn = 0
    while True:
        connection, _ = listener.accept()
        workers[turn % 2].send(connection)
        connection.close()
        turn += 1


if __name__ == "__main__":
    main()
