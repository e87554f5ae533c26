"""Delivery: from the journals of a process's runs to their servers, each record once.

    wire, exchange   the format of requests and answers          verdicts   what an answer means
    ranges, metrics  one journal, to a server that takes ranges, to a stock server
    company          for how long records wait for others        lanes      which request a name goes with
    consignment      one run                                     custody    a run whose lock this process holds
    sender           all runs: which exchange is due             backoff    when to try again
    agent            the threads                                 aside      what the server refuses for good

Only ``agent`` and ``custody`` touch threads, clocks and files; the others are functions of their arguments.
"""
