"""Code for cards, on two cards that are pretended and, with `make gpu`, on a real one.

pretended.py         two CUDA cards that are not there: a plugin of pytest
flights.py           their copies, which take place later than they are asked for
kernels.py           the operations that run on cards
cards.cpp            what torch needs to believe in them
on_cards.py          a whole study, weights and models on cards
solvers_on_cards.py  decompositions of large matrices and of heads on a card
bench_on_cards.py    the bench on a card
test_on_cards.py     runs the three on the pretended cards, in a process of its own
__main__.py          runs them on a real card, with benchmarks, and writes docs/gpu.md
"""
