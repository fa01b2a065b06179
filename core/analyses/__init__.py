"""The analyses, one file each, independent of one another.

tuning_vectors         the size and the spread of the change in each module
vector_cosine          cosines between the tuning vectors of two models
trajectory             the path of a series of checkpoints, against a random walk
interference           opposite signs, common coordinates and directions of two tuning vectors
alignment              alignment of the updates with the base's directions
directions             the tokens that the updates' top directions write and read
direction_places       where in the texts states lie most along an update's top direction
spectral_regime        rotation of the base's top directions, and change of its spectrum
divergence             divergence of predictions from the base, and the gains and losses of tuning
token_shift            the tokens that tuning promotes and demotes
representation         states and intermediate predictions of each model against the base's
activation_difference  the mean difference of states, by layer and position, and in tokens
activation             the share of activated neurons in each model
edit_distance          distances between the activation patterns of tuned models and the base
evaluation             the scores of each model on each task
forgetting             divergence on own texts against the scores lost on tasks of other domains
ablation               drops in scores when neurons are ablated
arithmetic             scores of sums, removals and transfers of tuning vectors
graft                  the gain that the base regains with parts of a tuned model's weights
"""
