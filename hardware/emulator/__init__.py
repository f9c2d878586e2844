"""Emulated servos on a pseudo terminal: a separate program, `python -m nerfbot.hardware.emulator`.

It shares control tables and packet formats with the driver, and nothing else. In the tests both vendors' SDKs
drive it as independent witnesses.
"""
