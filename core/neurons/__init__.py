"""Neurons: activity, attribution, selection, ablation, and the drops that it causes.

activity.py     who is active on a probe set: counts, patterns, the documents that drive them
attribution.py  who matters to a loss, by one backward pass
ranking.py      who is chosen: by score, by how often active, or at random
ablation.py     put out of action in a loaded model
distances.py    how far apart the patterns of two models are
trials.py       ranked on some items of a task, ablated and scored on others
drops.py        what a task loses by it, against random controls
"""
