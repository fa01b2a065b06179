"""Neurons: activity, attribution, selection, ablation, and the resulting drops.

activity.py     activity on a probe set: counts, patterns, top documents
contexts.py     where in the texts a few neurons are largest, with the values around
readout.py      the tokens that a neuron promotes
attribution.py  each neuron's effect on a loss, by one backward pass
recomputing.py  states that a backward pass needs: kept, or computed again
ranking.py      selections of neurons: by score, by rate, or at random
ablation.py     ablating neurons of a loaded model
distances.py    distances between the patterns of two models
trials.py       ranking on some items of a task, ablating and scoring on others
drops.py        drops in score, compared with random controls
"""
