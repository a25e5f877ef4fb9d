"""A TCP proxy that does to a connection what networks do: late, slow, stalled, cut.

    with FaultProxy(port, down=Fault(reset_at=400), up=Fault(delay_ms=50)) as p:
        ... p.port ...

`up` is what goes to `port`, `down` what comes back.  A fault may be set anew at any time; each
connection keeps the one it began with.  Runs on a thread of its own, on 127.0.0.1.
"""
import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading


@dataclasses.dataclass(frozen=True)
class Fault:
    """Of one direction.  A place is a number of bytes; None: nowhere."""
    delay_ms: float = 0           # each piece comes so much later
    rate: float = None            # bytes a second
    stall_at: int = None          # from here on nothing more comes, and nothing ends
    reset_at: int = None          # here both connections are reset
    fin_at: int = None            # here this direction ends, and only this one
    flip_at: int = None           # the byte at this place has one bit turned

    def end(self):
        """(place, what happens there) of what comes first."""
        places = [(at, what) for what in ("stall", "reset", "fin") if (at := getattr(self, f"{what}_at")) is not None]
        return min(places, default=(None, None))


class FaultProxy:
    def __init__(self, target, up=Fault(), down=Fault()):
        self.target, self.up, self.down = target, up, down
        self.connections = 0
        self.bytes = {"up": 0, "down": 0}  # that were passed on, of all connections
        self.tasks = set()
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()
        self.loop.close()

    def stop(self):
        async def end():
            self.server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            self.loop.stop()
        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    async def serve(self, reader, writer):
        self.connections += 1
        task = asyncio.current_task()
        self.tasks.add(task)
        up, down = self.up, self.down
        there = None
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self.target)
            both = [writer, there]
            await asyncio.gather(self.pump(reader, there, up, "up", both), self.pump(there_reader, writer, down, "down", both))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            for w in (writer, there):
                if w:
                    w.close()

    async def pump(self, reader, writer, fault, name, both):
        place, what = fault.end()
        done = 0
        while data := await reader.read(65536 if not fault.rate else max(1, int(fault.rate / 20))):
            if fault.delay_ms:
                await asyncio.sleep(fault.delay_ms / 1000)
            if fault.rate:
                await asyncio.sleep(len(data) / fault.rate)
            if fault.flip_at is not None and done <= fault.flip_at < done + len(data):
                data = bytearray(data)
                data[fault.flip_at - done] ^= 1
            now = data if place is None else data[:max(0, place - done)]
            writer.write(now)
            await writer.drain()
            done += len(now)
            self.bytes[name] += len(now)
            if place is not None and done == place:
                return await self.happen(what, reader, writer, both)
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def happen(self, what, reader, writer, both):
        if what == "fin":
            writer.write_eof()
        if what == "reset":
            for w in both:
                w.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                w.transport.abort()
            return
        while await reader.read(65536):  # what still comes is thrown away
            pass
        if what == "stall":
            await asyncio.Event().wait()  # not even the end is passed on
