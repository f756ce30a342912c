"""`make yahoo-stub`: the stub at a port (8765, or the one named; 0 takes any that is free), until stopped."""

import socket
import sys

import uvicorn

from tests.support.yahoo import server
from tests.support.yahoo.server import YahooStub

if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8765)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        print(f"The Yahoo stub is at {address}")  # noqa: T201 - a command
        print(server.__doc__)  # noqa: T201
        print(f"    FRESHTAPE_YAHOO_URL={address} .venv/bin/freshtape serve", flush=True)  # noqa: T201
        stub = YahooStub()
        stub.streamer.walks_on = stub.market
        uvicorn.Server(uvicorn.Config(stub, lifespan="off", ws="websockets-sansio", log_level=60)).run([listener])
