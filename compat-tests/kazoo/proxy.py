"""TCP proxies to one server, each of which can be stopped and started again.

kazoo's tests stop and start members of a cluster. Here the members are ports that lead to the same
server: stopping one closes its listener and its connections, which is what a client sees of a server
that goes down. A process of its own, so that it takes no turn in the tests' interpreter.

    proxy.py HOST PORT COUNT    prints its ports on one line, then obeys "stop N" and "run N" lines
                                on standard input, answering each with "ok"; ends with its input.
"""

import asyncio
import sys


class Member:
    """One port."""

    def __init__(self, host, port):
        self.upstream = (host, port)
        self.port = 0
        self.listener = None
        self.writers = set()

    async def run(self):
        if self.listener is None:
            self.listener = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
            self.port = self.listener.sockets[0].getsockname()[1]

    async def stop(self):
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            for writer in list(self.writers):
                writer.close()

    async def serve(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            writer.close()
            return
        both = {writer, up_writer}
        self.writers |= both
        await asyncio.gather(self.pump(reader, up_writer), self.pump(up_reader, writer))
        self.writers -= both

    @staticmethod
    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


async def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    members = [Member(host, port) for _ in range(count)]
    for member in members:
        await member.run()
    print(*(member.port for member in members), flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        verb, number = line.decode().split()
        member = members[int(number)]
        await (member.stop() if verb == "stop" else member.run())
        print("ok", flush=True)


asyncio.run(main())
