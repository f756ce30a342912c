"""Follows every change of every symbol: python docs/examples/follow.py [ADDRESS [CURSOR]]

Prints one line a change, its cursor last: given again, it resumes there and misses nothing.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

CHANGES = "subscription($after: Cursor) { symbolChanged(after: $after) { kind at cursor symbol { ticker version isStale } } }"


async def follow(address: str, after: str | None) -> None:
    async with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        subscribe = {"id": "1", "type": "subscribe", "payload": {"query": CHANGES, "variables": {"after": after}}}
        await socket.recv()  # connection_ack
        await socket.send(json.dumps(subscribe))
        async for frame in socket:
            message = json.loads(frame)
            if message["type"] != "next":
                return
            change = message["payload"]["data"]["symbolChanged"]
            symbol = change["symbol"]
            print(change["at"], change["kind"], symbol["ticker"], f"version {symbol['version']}", change["cursor"], flush=True)


if __name__ == "__main__":
    address, after, *_ = [*sys.argv[1:], None, None]
    asyncio.run(follow(address or "ws://127.0.0.1:8000/graphql", after))
