"""Charts made of characters: one public door, `chart.draw`, and the pieces that screens share.

chart.py      a whole figure as text, for `tauscope show` and the report
curves.py     lines by layer, in panels
axes.py       the frame of a panel: ranges, ticks, which cell shows which value
headings.py   names of columns, broken into lines
grids.py      matrices and heat maps
bars.py       groups of horizontal bars
scatters.py   points in a plane
passages.py   text, wrapped, with shaded tokens
tables.py     rows of text and numbers
overview.py   the cards and the findings of a run
legends.py    the signs and colours of series, and the values of colours
palette.py    colours that colour-blind eyes can tell apart
lines.py      rows of styled characters: cut, padded, joined
canvas.py     strokes into braille: the only module that knows plotext

Nothing here knows Textual. plotext is imported when the first curve is drawn.
"""
