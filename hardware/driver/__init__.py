"""The servo driver: the only owner of the port, with its guards, feedback and process.

Bytes on the bus live in bus, permits and supervision in safety.
"""
