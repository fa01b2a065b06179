"""The workstation in a browser on the same machine, by way of textual-serve, an optional extra.

serving.py      `tauscope serve`: the address and its token
workstation.py  the server: the only module that imports textual-serve
window.py       one window of it, a process that ends with the server
"""
