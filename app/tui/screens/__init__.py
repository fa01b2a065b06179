"""Screens: runs, one run, two compared, a new study, the library, help, small questions."""
