"""The journal: what ``log`` accepted and the server has not confirmed yet.

::

    slot, range, segment, frame   formats: a record, records, records in memory, on disk
    append, compiled              the hot path, in Python and in C
    locked, locked_writer         appending without the GIL
    values, jsonable              what log() makes of its arguments
    writer                        the rest of appending
    memory, mapping               where segments live
    cursor                        how far a journal is delivered
    extents, sources              what can be read, and where
    journal                       one writer's records: read, acknowledge, evict
    spool, spooling, files        frames on disk, and when
    worker_spool                  a worker without shared memory
    memory_repair                 shared memory that was removed
    directories, manifest         where runs are, and what they are
    open_writer, open_journal     this process's writer; a journal to deliver
"""
