"""Executes a program that may not make certain system calls: they fail with EPERM.

confined.py CALL,... COMMAND ARGUMENT...
"""

import ctypes
import os
import platform
import struct
import sys

NUMBERS = {
    "x86_64": {"prlimit": 302, "recvmmsg": 299},
    "aarch64": {"prlimit": 261, "recvmmsg": 243},
}[platform.machine()]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001

STEPS = [(LOAD, 0, 0, 0)]
for call in sys.argv[1].split(","):
    STEPS += [(JUMP_IF_EQUAL, 0, 1, NUMBERS[call]), (RETURN, 0, 0, REFUSE)]
STEPS.append((RETURN, 0, 0, ALLOW))


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


prctl = ctypes.CDLL(None).prctl
steps = b"".join(struct.pack("=HBBI", *step) for step in STEPS)
assert prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(Filter(len(STEPS), steps)), 0, 0) == 0
os.execvp(sys.argv[2], sys.argv[2:])
