"""The terminal of a command: stderr while it works, and streams that are closed or full.

narration.py  progress on stderr
streams.py    stdout and stderr where they are full or closed
"""
