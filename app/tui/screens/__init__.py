"""Screens: runs, one run, two compared, a new study, help, small questions; thin over widgets."""
