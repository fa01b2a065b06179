"""Resolved plots: everything that a painter needs to know about a figure, decided once.

resolution.py  from figures to plots
plot.py        fields and words that every kind has: legend, names, rows of values
values.py      one measured value: text, tone, interval, chance, facts
ranges.py      ranges of values and the ticks on them
numbers.py     numbers as short text
grids.py       matrices, heat maps and bars
curves.py      lines in panels
multiples.py   one line of several alone, or each in a panel of its own
scatters.py    points in a plane
tables.py      the columns of a table in sight, their order, and the values said once
passages.py    text with shaded tokens

Painters place marks: of the terminal, the page and the paper. They decide nothing.
"""
