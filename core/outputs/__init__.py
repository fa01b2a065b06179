"""Outputs: the predictions of a tuned model and of the base at the same tokens, compared.

pairs.py        log-probabilities of both models, block by block of tokens
divergence.py   divergences and likelihoods at each token, summed by document
floor.py        how far rounding alone moves the base's predictions
shifts.py       the tokens that tuning promotes and demotes, counted over positions
positions.py    the share of the most promoted tokens by position in an answer
readers.py      predictions of a pass, as rows with intervals over documents
stored.py       documents with values and likeliest tokens, as arrays for a figure
"""
