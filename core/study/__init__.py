"""A study: the models to compare, the texts and tasks to compare them on, the analyses to run.

study.py      a study as frozen data
models.py     the models of a study as frozen data
intake.py     studies from files, data and names of models
mistakes.py   the errors of a study file in words: key, fault, nearest valid key
series.py     series of checkpoints: their folders by step
task_sets.py  sets of tasks that ship with the program
places.py     paths of files and folders in studies
"""
