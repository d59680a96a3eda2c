"""An asyncio echo server and a client that checks what comes back.

echo.py serve ADDRESS PORT
echo.py talk ADDRESS PORT CONNECTIONS BYTES
"""
import asyncio
import hashlib
import random
import sys


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(address, port):
    server = await asyncio.start_server(echo, address, int(port), backlog=1024)
    async with server:
        await server.serve_forever()


async def talk_once(address, port, data):
    reader, writer = await asyncio.open_connection(address, int(port))

    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    back = await reader.read(-1)
    await sending
    writer.close()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest(), f"{len(back)} bytes came back"


async def talk(address, port, connections, size):
    data = [random.Random(i).randbytes(int(size)) for i in range(int(connections))]
    await asyncio.gather(*(talk_once(address, port, d) for d in data))
    print(f"{connections} connections echoed {size} bytes each")


asyncio.run({"serve": serve, "talk": talk}[sys.argv[1]](*sys.argv[2:]))
