"""HTTP to one server, with a deadline for each exchange.

    transport   one exchange: key, retry, errors
    pool        a process's connections; writes requests
    connection  one connection; reads answers
    deadline    sockets with a deadline, and ``abort``
    proxy       the proxy in the environment
    failures    why there is no answer, in words
    response    an answer, as ours and as ``requests``'
    keys        where the API key comes from and is stored
    discovery, local_server: the embedded server on this machine

``address`` and ``secret``, which ``settings`` needs, are above.
"""
