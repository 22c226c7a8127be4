"""The one exception whose message is meant for the person at the terminal."""


class SandboxError(Exception):
    """Something the user can act on; shown as one line, without a traceback."""
