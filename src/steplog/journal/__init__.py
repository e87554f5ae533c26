"""The journal: what ``log`` accepted and the server has not confirmed yet.

From the format of a record up to the run's directories::

    slot         one record, 32 bytes             range          records [first, end): the unit of disk and wire
    segment      slots, names, payloads           frame          a range in a spool file
    append       the hot path, in Python          compiled       the same in C, where it was built
    values       what log() makes of its arguments               (jsonable: values of other libraries)
    writer       the rest of appending            memory         where segments live (mapping: without descriptors)
    cursor       how far it is delivered          files          the file system, as an argument
    extents      what can be read, and from where                (sources: memory's side)
    journal      one writer's records: read, acknowledge, evict
    spool        frames on disk                   spooling       when a journal goes there
    worker_spool a worker without shared memory   memory_repair  shared memory that was removed
    directories  where runs are                   manifest       who a run is
    open_writer  this process's own writer        open_journal   a journal to deliver

Segments, cursor and manifest are in shared memory: they survive the process, but not the machine. The run's lock, its
manifest and what is spooled are on disk.
"""
