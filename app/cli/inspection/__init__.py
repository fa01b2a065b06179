"""The results of a run over weights: five questions for each tuned model.

accounts.py   the values of each model, read from a run's rows
sentences.py  each answer in a plain sentence
pictures.py   a small figure for each question
telling.py    the output on stdout, or as data
"""
