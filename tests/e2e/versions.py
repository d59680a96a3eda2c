"""Processes of another version of the library, a command each.

versions.py listens NAME             listens under an abstract name until it is killed; says what it hears
versions.py starts NAME COMMAND...   executes the command with what listens under the name as descriptor 3
versions.py has NAME                 what socket(7) says of one that has the name
"""

import os
import socket
import sys


def listener(name):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.bind("\0" + name)
    made.listen(8)
    return made


def listens(name):
    door = listener(name)
    print("listening", flush=True)
    while True:
        print("heard", door.accept()[0].recv(4096), flush=True)


def starts(name, *command):
    made = listener(name)
    os.dup2(made.fileno(), 3)
    os.set_inheritable(3, True)
    os.execv(command[0], command)


def has(name):
    made, _ = socket.socketpair()
    made.bind("\0" + name)
    again = socket.socket(fileno=os.dup(made.fileno()))
    print(again.family.name, again.getsockname() == ("\0" + name).encode())


globals()[sys.argv[1]](*sys.argv[2:])
