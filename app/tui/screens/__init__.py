"""Screens: runs, one run, a new study, help, and small questions. Thin layers over widgets."""
