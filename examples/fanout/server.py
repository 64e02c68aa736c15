"""A slow web service: each answer takes 0.1 s. It prints its port, and ends when its input ends."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LATENCY_S = 0.1


class SlowServer(ThreadingHTTPServer):
    request_queue_size = 1000  # so many connections may wait to be accepted


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(LATENCY_S)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *ignored):
        """Log nothing."""


if __name__ == '__main__':
    server = SlowServer(('127.0.0.1', 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()  # until whoever started us closes it, or dies
