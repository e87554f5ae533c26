"""The journal: what ``log`` accepted and the server has not confirmed yet.

The modules, from the format of a record up to the run's directories:

    slot        one record, 32 bytes                 range     records [first, end): the unit of disk and wire
    segment     a stretch of slots, names, payloads  frame     a range in a spool file
    append      the hot path                         values    what log() makes of a value
    writer      the rest of appending                memory    where segments live
    holes       slots that nobody will fill          marks     how far it is delivered and durable
    sources     a journal's segments, read           journal   one writer's records, read, acknowledged, evicted
    locks       who is alive, who delivers           directories, manifest, opening   where runs are, and what they are
    homes       a writer's own directory             worker_spool   a worker's way to the agent without shared memory
    open_journal   a journal as long as this process has it

In memory (a private directory of shared memory): segments, marks, the manifest. They belong to the kernel, so they
survive the death of the process, whatever kills it; they do not survive the machine.
On disk: the run's lock and manifest.
"""
