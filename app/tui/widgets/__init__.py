"""Widgets: figures (curves.py, grid.py, bars.py), the pane around one, the run list, the lines."""
