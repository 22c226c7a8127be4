"""For every test: a run in the background of a script ignores SIGINT, and every process it starts would too."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
