"""The analyses, one file each, independent of one another.

tuning_vectors   how much, and how evenly, the tuning changed each module
vector_cosine    how far the tuning vectors of two models point the same way
alignment        how the updates lie to the directions that the base already uses
activation       which share of neurons each model uses
edit_distance    how far the activation patterns of a text move by tuning
evaluation       what each model scores on each task
ablation         what a task loses when neurons are ablated
arithmetic       what sums, removals and transfers of tuning vectors score
"""
