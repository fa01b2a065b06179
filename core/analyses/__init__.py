"""The analyses, one file each, independent of one another.

tuning_vectors   how much, and how evenly, the tuning changed each module
vector_cosine    how far the tuning vectors of two models point the same way
alignment        how the updates lie to the directions that the base already uses
"""
