"""A run as one HTML page that asks for nothing else: no script, no font, no picture from outside.

document.py  the page: what stands on it, in which order
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
