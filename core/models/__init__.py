"""Models as they lie on disk and as transformers makes them. Nothing is imported here.

folders.py   what a folder holds that holds no weights to read, and what to do about it
pointers.py  Git LFS pointers in the place of files
signs.py     names that tell of another library's files or of a distributed run's shards, as data
"""
