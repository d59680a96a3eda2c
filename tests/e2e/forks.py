"""Talks to an echo server while children come and go: some exit, some run a program, some use the
connection's descriptor, some open a connection of their own.

forks.py ADDRESS PORT
"""
import os
import socket
import subprocess
import sys

server = (sys.argv[1], int(sys.argv[2]))


def echoed(connection, data):
    connection.sendall(data)
    back = b""
    while len(back) < len(data):
        piece = connection.recv(65536)
        assert piece, f"the connection ended after {len(back)} bytes"
        back += piece
    assert back == data


def child(number, connection):
    match number % 4:
        case 0:
            os._exit(0)
        case 1:
            connection.close()
            sys.exit(0)
        case 2:
            os.execv("/bin/true", ["true"])
        case 3:
            echoed(connection, b"from the child")
            os._exit(0)


with socket.create_connection(server) as connection:
    connection.settimeout(10)
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            child(number, connection)
        if number % 4 != 3:
            echoed(connection, os.urandom(50000))
        status = os.waitpid(pid, 0)[1]
        assert status == 0, f"child {number} ended with {status}"
        echoed(connection, os.urandom(50000))
        subprocess.run(["true"], check=True)
print("the parent's connection outlived 20 children")
