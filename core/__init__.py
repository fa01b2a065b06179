"""The engine: from a study and checkpoints on disk to measurements. It draws and stores nothing.

errors.py        the exception tree
study.py         the study file as frozen data
measurement.py   Measurement, Artifact, Unit and the ResultSink protocol
registry.py      which analyses exist, their metrics and parameters (imports no torch)
views.py         pictures as data: curves, matrices, heat maps, bars, tables
findings.py      figures in one plain sentence
pairing.py       two figures of one view: common axes, difference
checkpoint.py    tensors streamed out of safetensors shards, .bin files and adapters
naming.py        what each architecture calls its tensors (data)
architecture.py  tensors as pieces of one vocabulary; how fused ones are cut
family.py        a base and its tuned models: identity, fingerprint, compatibility
adapter.py       LoRA adapters laid over a checkpoint
weights.py       one pass over a family's weights, shared by the analyses
moments.py       the elementwise sums of that pass
linalg.py        subspaces, spectra and alignment
chance.py        what chance alone would give
comparison.py    scores with intervals, and two models on the same items
tasks.py         evaluation tasks: found, read, identified
examples.py      the items of a task as texts with their right answers
evaluator.py     one loaded model, asked any number of tasks
language_model.py a model in memory as the harness wants it (imports torch)
harness.py       lm-evaluation-harness silenced, seeded, off the network
arithmetic.py    points of task arithmetic as data: names, grids, restrictions
combination.py   what a point does to weights, block by block
sweep.py         points in a live model, from which the base comes back bit for bit
merging.py       a point as a model's directory, streamed
shards.py        safetensors shards written by rows
folder.py        a folder that appears whole or not at all
totals.py        work by slices, and sums over modules, groups and layers
runner.py        study to units to sink: progress, cancel, resume
preflight.py     what a run will take before it starts
analyses/        one file each
demo/            the embedded demo family
probes/          the built-in probe sets
"""
