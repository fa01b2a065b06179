"""What a number is worth: intervals, tests and what chance alone would give.

intervals.py   means with their intervals, and how values spread
comparison.py  scores against chance and against one another, on the same items
chance.py      alignment of random updates, in closed form
"""
