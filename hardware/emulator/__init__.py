"""Emulated servos on a pseudo terminal: a separate program, `python -m nerfbot.hardware.emulator`.

It shares the control tables and packet formats with the driver, and nothing else; both vendors' SDKs drive
it in the tests as independent witnesses.
"""
