"""HTTP to one server: a deadline for each exchange, and the key that goes with it.

    transport   one exchange: the key, the retry on a connection that the server has closed
    pool        a process's connections; how a request is written
    connection  one connection, direct or through a proxy; how an answer is read
    deadline    sockets that keep a deadline and can be shut down from another thread
    proxy       the proxy that the environment names
    failures    why there is no answer, in words
    response    an answer, and the ``requests`` objects made of it
    keys        where the API key comes from and is stored
    discovery   the embedded server on this machine

``address`` and ``secret``, which ``settings`` needs too, are beside this folder.
"""
