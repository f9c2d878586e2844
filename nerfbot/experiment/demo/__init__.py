"""The demo: from the proxy to the robot in a few minutes, and its page.

Everything that it runs lives elsewhere.
"""
