"""The terminal of a command: progress on stderr, and closed or full streams.

narration.py  progress on stderr
streams.py    stdout and stderr that are full or closed
"""
