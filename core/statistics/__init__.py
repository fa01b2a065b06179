"""Intervals, tests and chance levels.

intervals.py     means with their intervals, and quartiles
comparison.py    comparison of scores with chance and with one another, on the same items
signs.py         the sign test
overlap.py       alignment of a matrix's update with the matrix's directions, and means of it
chance.py        alignment of random updates, in closed form
paths.py         the shape of a path of points, and of a random walk's
multiplicity.py  the correction of p values for many tests
"""
