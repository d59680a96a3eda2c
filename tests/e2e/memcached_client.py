"""Stores values in a memcached from several threads, and reads them back.

memcached_client.py ADDRESS THREADS VALUES BYTES
"""
import random
import socket
import sys
import threading

address, threads, values, size = sys.argv[1], *map(int, sys.argv[2:])
done = []


def work(number):
    with socket.create_connection((address, 11211)) as connection, connection.makefile("rb") as answers:
        for i in range(values):
            value = random.Random(number * values + i).randbytes(size)
            connection.sendall(b"set k%d-%d 0 0 %d\r\n%b\r\n" % (number, i, size, value))
            assert answers.readline() == b"STORED\r\n"
            connection.sendall(b"get k%d-%d\r\n" % (number, i))
            assert answers.readline().startswith(b"VALUE ")
            assert answers.read(size) == value
            assert answers.readline() + answers.readline() == b"\r\nEND\r\n"
    done.append(number)


workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert len(done) == threads
print(f"{threads} threads stored and read back {values} values each")
