"""The bench's worker, its socket and its clients. Imports no torch before a worker loads models.

client.py    a connection to the bench of a study, which starts its worker
registry.py  the running benches beside a database
places.py    the files of a bench: record, socket, log
asking.py    requests of a command, answered by a running worker or in its process
prompts.py   a file of prompts
items.py     the items of a run's tasks and the documents of its probe sets, as prompts
trials.py    a request and its answer, as one JSON object
loading.py   the models of a study in this process
wire.py      lines of JSON on the socket
worker.py    the process with the models, from its start to its end
server.py    the socket's side in the worker: clients, their requests and answers
outbox.py    the lines for one client, at most 15 frames a second
turns.py     the order of requests, and their cancellation
__main__.py  the module that `python -P -m app.bench` starts
"""
