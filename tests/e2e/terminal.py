"""Types at a terminal like a person: each key when the one before was echoed, ^C, another size of the window, ^D.

terminal.py COMMAND...    a command that leads to a shell; prints "typed" when all was answered
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

shown = b""


def window(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def wait(text, seconds=20):
    """Until the terminal shows the text, which is then forgotten with all before it."""
    global shown
    while text not in shown:
        assert select.select([terminal], [], [], seconds)[0], f"no {text} in {shown}"
        shown += os.read(terminal, 65536)
    shown = shown.split(text, 1)[1]


def key(pressed):
    os.write(terminal, pressed)


def line(text):
    for letter in text:
        key(bytes([letter]))
        wait(bytes([letter]))
    key(b"\r")


child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
signal.alarm(60)
window(24, 80)
key(b"PS1='ready''> '\r")
wait(b"ready> ")
line(b"echo $((6 * 7)) is the answer")
wait(b"\n42 is the answer")
wait(b"ready> ")
line(b"stty size")
wait(b"\n24 80")
wait(b"ready> ")
window(50, 132)
os.kill(child, signal.SIGWINCH)
line(b"until [ \"$(stty size)\" = '50 132' ]; do sleep 0.1; done; echo grown")
wait(b"\ngrown")
wait(b"ready> ")
line(b"cat")
line(b"once more")
wait(b"\nonce more")
key(b"\x03")
wait(b"ready> ")
line(b"seq -s ' ' 1 20000")
wait(b" 19999 20000")
wait(b"ready> ")
key(b"\x04")
while True:
    try:
        if not os.read(terminal, 65536):
            break
    except OSError:
        # EIO: the command has ended.
        break
_, status = os.waitpid(child, 0)
print("typed" if os.WIFEXITED(status) else f"ended with {status}")
