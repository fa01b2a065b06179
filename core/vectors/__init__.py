"""Task arithmetic with tuning vectors, in memory and from disk to disk.

arithmetic.py   points as data: names, grids, restrictions
blocks.py       tensors cut into blocks of rows
combination.py  the weights of a point, block by block
fused.py        the same in one pass on a card, by a compiled kernel
selection.py    the elements of a vector that a point keeps
drops.py        the elements that a point drops at random
matrices.py     matrices merged by their singular directions
sweep.py        points in a loaded model; restores the base bit for bit
grafting.py     parts of tuned models' weights in a loaded base
grafted.py      the losses of many grafts, carried through the layers together
graft_steps.py  the grafts of each step by name
regained.py     the shares that grafts regain, with intervals and random sets
layer_sets.py   the greedy search for layers, and random sets
disk.py         weights of a family, read block by block from disk
merging.py      a point as a model's directory, streamed
target.py       a merged model's tensors, in the base's own layout
shards.py       safetensors shards written by rows
folder.py       a folder that appears whole or not at all
"""
