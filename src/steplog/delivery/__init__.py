"""Delivery: from the journals of a process's runs to their servers, each record once.

    agent, loop, maintenance     the threads
    sender                       all runs and servers: which request is due
    outbox, tickets              one run: what is asked, what came of it, what to do
    creation, probe              making the run; asking the server what it has and can do
    generations                  telling the server of each owner that took the run up
    run_edits                    what was set of the run, for a server that knows fields and one that does not
    samples, sampling            system metrics: on their way, and read each interval
    ranges, metrics, stream      one journal, to a server that takes ranges, to a stock server
    backlog, linger, lanes       what is left to send, how long records wait, which request a name goes with
    poison, quarantine           which record is refused for good, and where it goes
    lease, manifest_store        a run whose lock this process holds, and its files
    wire, exchange, verdicts     requests and answers, and what an answer means
    backoff, doorbell, deferred_log

Only agent, loop, maintenance, lease, quarantine, manifest_store and doorbell touch threads, clocks and files.
"""
