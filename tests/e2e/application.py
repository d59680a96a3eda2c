"""A web application (WSGI) that says who asks."""


def application(environment, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"a client at " + environment["REMOTE_ADDR"].encode()]
