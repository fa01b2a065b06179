"""One pass over the weights of a family, and its sums and decompositions.

stream.py   the pass: matrix by matrix, shared by every analysis of weights
views.py    the data that the pass hands to readers, and their protocol
store.py    the rows that the pass reads, cached while they are needed
parts.py    partial results, stored so that a kill loses little
moments.py  the elementwise sums of the pass: inner products, maxima, counts
loops.py    whether loops over weights run compiled
compiled.py the compiled loops, by numba
card_moments.py  the same sums on a card
uploads.py  rows of checkpoints sent to a card while it computes
pairs.py    the elementwise sums over pairs of updates: magnitudes, largest elements
reader.py   the default answers of a reader of one slice
totals.py   sums over slices, modules, groups and layers
regime.py   rotation, change of the spectrum and visible changes of one matrix
linalg.py   subspaces, spectra and alignment
leading.py  top eigenvectors on a card, by block iteration
batches.py  batches of small eigenproblems of a card, on the host
narrow.py   products on a card in bfloat16 terms, at float32 accuracy
bases.py    singular bases of a base that later runs find again
vocabulary.py  directions of the residual stream in tokens of the base
embeddings.py  the tokens whose embeddings moved most, and their neighbours
"""
