"""HTTP/1.1 for the worker: one event loop per process, and what it needs.

heads       the head of a request, from bytes to fields, without I/O
bodies      how the body of a request is framed, and read
tasks       functions that wait without keeping a thread
connection  one client: its phases, its deadlines, its requests
loop        the poller: who is ready, who is too slow, who may come in
commits     the writes of all requests that are ready together, in one transaction
answers     the answers of all requests that are ready together, after what has to be written before
blocking    what a disk may hold for long, in other threads
pace        whether calls are quick enough for the loop's thread
"""
