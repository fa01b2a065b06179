"""The Ray engine. Only this package imports Ray, and only when a run asks for it.

executor.py     a run's jobs on Ray
connection.py   the connection to Ray, and its security
nodes.py        the cards of the nodes, and the cards that a worker needs
actors.py       the workers of a run, one for each place on the nodes
actor.py        a worker's process
"""
