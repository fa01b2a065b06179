"""The results of a run over weights, told at once: five questions for each tuned model.

accounts.py   what there is to tell of each model, read from a run's rows
sentences.py  each answer in a plain sentence
pictures.py   a small figure for each question
telling.py    the whole on stdout, or as data
"""
