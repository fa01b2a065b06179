"""Widgets: figures (curves.py, grid.py, bars.py), the pane around one, the lists, the lines."""
