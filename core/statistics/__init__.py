"""Intervals, tests and chance levels.

intervals.py   means with their intervals, and how values spread
comparison.py  scores against chance and against one another, on the same items
overlap.py     the update of a matrix against the matrix's own directions, and means of that
chance.py      alignment of random updates, in closed form
"""
