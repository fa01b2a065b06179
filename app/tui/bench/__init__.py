"""The bench on the screen, as data: no widget, no socket, no model.

knobs.py    the numbers, parts and switches of a column
board.py    the columns with their answers
blind.py    columns without names, and the counts of preferences
opening.py  its first columns and prompt, from a picture
position.py how a bench was left, in the user's memory
settings.py the settings of written texts
conversation.py requests in order, and the answer to the newest one
link.py     the way to the bench's worker, as the screen needs it
"""
