"""Figures for papers, drawn with matplotlib: one drawing a kind, at the width of a column or page.

plates.py   which files there are, and how each is saved
sheet.py    fonts, sizes, colours and names of all drawings
curves.py   lines by layer, in panels
grids.py    matrices and heat maps
bars.py     groups of horizontal bars
scatters.py points in a plane
passages.py text with shaded tokens

No drawing touches pyplot or the settings of whoever calls: all happens within `sheet.styled`.
"""
