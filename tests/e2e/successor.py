"""Somebody who goes on for a dead process, and a guest of a keeper that is dead.

successor.py goes_on PORT       has the port until it is asked whether it still needs it
successor.py binds PORT FILE    has a socket of the keeper's, and binds another to the port once there is the file
"""

import errno
import os
import socket
import sys
import time


def bound(port):
    made = socket.socket()
    made.bind(("0.0.0.0", int(port)))
    return made


def goes_on(port):
    held = bound(port)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for number in range(64):
        try:
            door.bind(f"\0sidestack/heirs/{os.getuid()}/{number}")
            break
        except OSError:
            pass
    door.listen()
    print("goes on", flush=True)
    door.settimeout(20)
    asker = door.accept()[0]
    asker.recv(1)
    held.close()
    asker.close()
    print("was asked")


def binds(port, file):
    served = bound(0)
    print("is served", flush=True)
    end = time.monotonic() + 20
    while not os.path.exists(file) and time.monotonic() < end:
        time.sleep(0.01)
    try:
        bound(port)
        print("bound")
    except OSError as error:
        print(errno.errorcode[error.errno])
    served.close()


globals()[sys.argv[1]](*sys.argv[2:])
