"""The engine: from a study and checkpoints on disk to measurements. It draws and stores nothing.

errors.py        the exception tree
study.py         a study as frozen data
trust.py         whose code may run: said at a start, never stored
intake.py        studies out of files, data and names of models
toml.py          its file as data
mistakes.py      what is wrong with such data, in words
sizes.py         amounts of memory and disk in words
regular.py       files that can be read to an end, and what stands in their places
partial.py       files and folders that are written whole or not at all
places.py        files and folders as people write them
measurement.py   Measurement, Artifact, Unit and the ResultSink protocol
registry.py      which analyses exist, their metrics and parameters (imports no torch)
views.py         pictures as data: curves, matrices, heat maps, bars, scatters, tables
choices.py       what may be stepped through in a view, and what it asks for
filters.py       what a reader wants to see of a run: some models, layers, modules
subject.py       a study's inputs, opened
session.py       a loaded model in the hands of analyses
runner.py        study to units to sink: progress, cancel, resume
pacing.py        how long units take, foreseen and put right as they come
preflight.py     what a run will take before it starts
checkpoint.py    tensors streamed out of safetensors shards, .bin files and adapters
headers.py       what files say before a tensor is read (imports no torch)
adapter.py       PEFT adapters laid over a checkpoint
naming.py        what each architecture calls its tensors (data)
family.py        a base and its tuned models: identity, fingerprint, compatibility
weights.py       one pass over a family's weights, shared by the analyses
parts.py         what an analysis takes of one matrix and model
moments.py       the elementwise sums of that pass
totals.py        work by slices, and sums over modules, groups and layers
linalg.py        subspaces, spectra and alignment
loading.py       models made by transformers, placed by accelerate
hooks.py         neurons and heads of a loaded model, seen and replaced
encoding.py      texts as token ids, in one way for all
templates.py     chat templates: whose is used, who has another one
libraries.py     what libraries say meanwhile, in our words
probe.py         probe sets: documents as token ids
analyses/        one file each
neurons/         who is active, who matters, what their loss costs
evaluation/      tasks and scores
vectors/         task arithmetic
statistics/      intervals, tests, chance
pictures/        figures as data
models/          models on disk and as transformers makes them
demo/            the embedded demo family
documents/       how files of documents are read
probes/          the texts of the built-in probe sets
"""
