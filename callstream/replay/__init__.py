"""`callstream replay`: the same processors once more over what the topics still hold, beside the live ones.

In: a stretch of each input partition, fixed before anything is read, and the settings the components would be started
with. Out: their outputs under `replay.<name>.`, on the same partition numbers, with the timestamps of their inputs; and
on request the first place where they differ from what live processing wrote.

Promises. It joins no group and fences nobody: live processing does not notice. It ends by itself. What it writes for a
record of the stretch is what live processing with the same settings writes, byte for byte, also of calls that were
running where the stretch begins: it first reads from so far back that the state there is the live one (`look_back`).
Only calls whose beginning the log no longer holds differ, and the components flag them `partial`; outputs that share
their input with one of theirs may be numbered otherwise.

Not done. A replay is one process and commits nothing: one that ends half-way leaves its topics, is removed and started
again. The audit log is one chain and is never replayed.
"""
