"""Loads an echo server, whatever happens to it, and counts what became of the connections.

load.py ADDRESS PORT CONNECTIONS SECONDS SEED

CONNECTIONS at a time, each for a while by chance, then another; each message must come back as it was sent.
"""
import asyncio
import collections
import random
import sys
import time

# A connection that says nothing for so long is hung, in seconds.
PATIENCE = 30

address, port, connections, seconds, seed = sys.argv[1], *map(int, sys.argv[2:])
tally = collections.Counter()


async def message(chance, reader, writer):
    sent = chance.randbytes(chance.randrange(1, 60_000))
    writer.write(sent)
    try:
        back = await asyncio.wait_for(reader.readexactly(len(sent)), PATIENCE)
    except asyncio.IncompleteReadError as end:
        tally["wrong"] += not sent.startswith(end.partial)
        raise
    tally["wrong"] += back != sent
    tally["bytes"] += len(sent)


async def talk(chance, until):
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), PATIENCE)
    except OSError:
        tally["refused"] += 1
        await asyncio.sleep(0.05)
        return
    tally["opened"] += 1
    if tally["opened"] == 1:
        print("begins", file=sys.stderr, flush=True)
    try:
        while time.monotonic() < until:
            await message(chance, reader, writer)
        writer.write_eof()
        tally["wrong"] += await asyncio.wait_for(reader.read(), PATIENCE) != b""
        tally["lived"] += 1
    finally:
        writer.close()


async def talks(number, end):
    chance = random.Random(seed * 1000 + number)
    while (now := time.monotonic()) < end:
        try:
            await talk(chance, min(end, now + chance.uniform(0.05, 1)))
        except asyncio.TimeoutError:
            tally["hung"] += 1
        except (OSError, asyncio.IncompleteReadError):
            tally["died"] += 1


async def main():
    end = time.monotonic() + seconds
    await asyncio.gather(*(talks(number, end) for number in range(connections)))
    print(*(f"{name} {tally[name]}" for name in ("refused", "opened", "lived", "died", "hung", "wrong", "bytes")))


asyncio.run(main())
