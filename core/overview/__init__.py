"""The overview of a run: a card for each tuned model, and the findings that matter most.

measured.py    the family of a run, and its measurements by place
evidence.py    how far a value lies beyond its yardsticks, in a size that kinds of findings share
finding.py     candidates and findings as data
weights.py     candidates from the weights: size, directions, shared tuning
behaviour.py   candidates from neurons, scores, ablation and arithmetic
ranking.py     which candidates are dropped, by which rule, and the order of the others
cards.py       the card of a model
"""
