"""Bytes on a servo bus: the port, both vendors' protocols, control tables, and reads and writes of registers.

The driver decides what is written, and when.
"""
