"""Models as they lie on disk and as transformers makes them. Nothing is imported here.

configs.py   a configuration with all that transformers takes for granted in it
folders.py   what a folder holds that holds no weights to read, and what to do about it
pointers.py  Git LFS pointers in the place of files
settings.py  the settings that change what weights compute, and in which of them two models differ
signs.py     names that tell of another library's files or of a distributed run's shards, as data
"""
