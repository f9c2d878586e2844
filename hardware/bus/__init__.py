"""Bytes on a servo bus: the port, both vendors' protocols, control tables, and reads and writes of registers.

What is written, and when, is decided by the driver.
"""
