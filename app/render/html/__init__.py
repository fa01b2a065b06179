"""A run as one self-contained HTML page: no script, and no font or picture from outside.

document.py  the page and the order of its sections
overview.py  the cards of the models and the findings, on the first page
figure.py    one view: finding, charts, chance, method, numbers
curves.py    lines by layer as SVG
grids.py     matrices and heat maps as SVG
bars.py      groups of horizontal bars as SVG
scatters.py  points in a plane as SVG
passages.py  text with shaded tokens
shapes.py    shapes and legends that the charts share
markup.py    elements, and outside text made harmless
colours.py   the colours of both themes as CSS
style.css    everything else of the look
"""
