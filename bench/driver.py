"""Loads a server with so many clients that each send the next request when they have the last answer.

One thread and raw sockets: the driver takes a few hundredths of a core, so that it costs all servers
alike and little.
"""
import dataclasses
import selectors
import socket
import time
import urllib.parse

PATH = "/classifier/predictions"

# Seconds that answers may take after the window.
PATIENCE = 120


@dataclasses.dataclass
class Figures:
    """Of a window of time. A request that reaches over an edge of it counts for the part that lies inside."""
    requests: float
    """Answered in the window."""
    requests_to_the_end: float
    """Answered in the window and after it, until all clients had their last answer."""
    seconds: float
    milliseconds: list[float]
    """What each request that was answered since the window opened took."""
    failed: int
    """Answers with another status than 200, warm-up included."""


class Client:
    """One connection."""

    def __init__(self, address, request):
        self.address, self.request = address, request
        self.socket = None

    def begin(self, selector):
        if self.socket is None:
            self.socket = socket.create_connection(self.address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setblocking(False)
            selector.register(self.socket, selectors.EVENT_WRITE, self)
        else:
            selector.modify(self.socket, selectors.EVENT_WRITE, self)
        self.began = time.perf_counter()
        self.unsent, self.received, self.expected = memoryview(self.request), bytearray(), None

    def write(self, selector):
        self.unsent = self.unsent[self.socket.send(self.unsent):]
        if not self.unsent:
            selector.modify(self.socket, selectors.EVENT_READ, self)

    def read(self):
        """The status, once the answer is whole."""
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.received += piece
        if self.expected is None:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = self.received[:end].decode("latin-1").lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in head[1:])
            self.status, self.expected = int(head[0].split()[1]), end + 4 + int(fields["content-length"])
        return self.status if len(self.received) >= self.expected else None


def load(url, body, clients, seconds, warm_up=0.5, key="bench", at_start=lambda: None):
    """Loads the server for `warm_up` and then for `seconds`, which are the window that counts; `at_start` is
    called when it opens, and the figures come with what it returned."""
    parts = urllib.parse.urlsplit(url)
    head = (f"POST {parts.path.rstrip('/')}{PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\nX-API-Key: {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    request = head.encode() + body
    selector = selectors.DefaultSelector()
    everyone = [Client((parts.hostname, parts.port), request) for _ in range(clients)]
    for client in everyone:
        client.begin(selector)
    opens = time.perf_counter() + warm_up
    closes, open_yet, started = opens + seconds, False, None
    inside, to_the_end, times, failed = 0.0, 0.0, [], 0
    waiting = clients
    while waiting:
        for key_, _ in selector.select(0.05):
            client = key_.data
            if client.unsent:
                client.write(selector)
                continue
            status = client.read()
            if status is None:
                continue
            now = time.perf_counter()
            took = now - client.began
            inside += max(0.0, min(now, closes) - max(client.began, opens)) / took
            to_the_end += max(0.0, now - max(client.began, opens)) / took
            if now >= opens:
                times.append(took * 1e3)
            failed += status != 200
            if now < closes:
                client.begin(selector)
            else:
                selector.unregister(client.socket)
                client.socket.close()
                waiting -= 1
        if not open_yet and time.perf_counter() >= opens:
            open_yet, started = True, at_start()
        if time.perf_counter() > closes + PATIENCE:
            raise TimeoutError(f"{url} left {waiting} requests without an answer")
    selector.close()
    return Figures(inside, to_the_end, seconds, times, failed), started


def quantile(values, part):
    """The smallest value that is not below this part of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")
