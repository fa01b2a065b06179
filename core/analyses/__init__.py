"""The analyses, one file each, independent of one another.

tuning_vectors   the size and the spread of the change in each module
vector_cosine    cosines between the tuning vectors of two models
alignment        alignment of the updates with the base's directions
activation       the share of activated neurons in each model
edit_distance    distances between the activation patterns of tuned models and the base
evaluation       the scores of each model on each task
ablation         drops in scores when neurons are ablated
arithmetic       scores of sums, removals and transfers of tuning vectors
graft            the gain that the base regains with parts of a tuned model's weights
"""
