"""Resolved plots: everything that a painter needs to know about a figure, decided once.

resolution.py  from figures to plots
plot.py        fields and words that every kind has: legend, names, rows of values
values.py      one measured value: text, tone, interval, chance, facts
ranges.py      ranges of values and the ticks on them
numbers.py     numbers as short text
grids.py       matrices, heat maps and bars
curves.py      lines in panels
scatters.py    points in a plane
tables.py      which columns of a table stand in sight, and what is said once

Painters place marks: of the terminal, the page and the paper. They decide nothing.
"""
