"""Screens: runs.py, run.py, start.py, help.py, confirm.py. Each a thin layer over widgets."""
