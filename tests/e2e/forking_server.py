"""The standard library's server with a process for each connection; echoes."""

import socketserver


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    max_children = 100


with Server(("0.0.0.0", 7000), Echo) as server:
    server.serve_forever()
