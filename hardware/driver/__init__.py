"""The servo driver: the only owner of the port, with its set-up, guards, feedback, goals and process.

Bytes on the bus live in `bus`, permits and supervision in `safety`.
"""
