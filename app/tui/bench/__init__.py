"""The bench on the screen, as data: no widget, no socket, no model.

knobs.py    what can be turned and switched in a column
board.py    the columns with what the bench answered
blind.py    columns without names, and which one was preferred
opening.py  what it begins with, from a picture
settings.py how texts are written
conversation.py requests in their order, and the newest one's answers
link.py     the way to the bench's worker, as the screen needs it
"""
