"""A reverse proxy that takes a path prefix off, as those in front of services do."""

import contextlib
import http.client
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Headers that belong to one connection.
OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@contextlib.contextmanager
def behind(prefix, url, says_so):
    """The address of a proxy that knows only paths below `prefix`; it says so in X-Forwarded-Prefix, or not."""
    target = urllib.parse.urlsplit(url).netloc

    class Proxy(BaseHTTPRequestHandler):
        def forward(self):
            if not self.path.startswith(prefix + "/"):
                self.send_error(404, "not below the prefix")
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_A_CONNECTION}
            if says_so:
                headers["X-Forwarded-Prefix"] = prefix
            upstream = http.client.HTTPConnection(target, timeout=60)
            upstream.request(self.command, self.path.removeprefix(prefix), body or None, headers)
            answer = upstream.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OF_A_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            upstream.close()

        do_GET = do_POST = do_PUT = do_DELETE = forward

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
