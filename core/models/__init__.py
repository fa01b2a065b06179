"""Models as they lie on disk and as transformers makes them. Nothing is imported here.

What a folder holds
  headers.py       what files say before a tensor is read
  hub.py           models of the hub: their cached snapshots
  checkpoint.py    tensors streamed out of safetensors shards, .bin files and adapters
  family.py        a base and its tuned models: identity, compatibility
  folders.py       a folder without weights to read, and what to do about it
  signs.py         names that tell of another library's files or of a distributed run's shards
  pointers.py      Git LFS pointers in the place of files
  identity.py      what identifies a model's weights: a hash of everything that its files hold
  settings.py      the settings that change what weights compute, and where two models differ
  configs.py       a configuration with all that transformers takes for granted in it
  quantised/       quantised checkpoints as the floats that a model computes with
  gguf/            GGUF files as the parameters that transformers makes of them
  adapters/        PEFT adapters, kind by kind

A model as its class makes it
  outline.py       a model's class on the meta device: names, shapes, modules, ties
  plausibility.py  a configuration against what the files hold
  layout.py        from stored names to parameters, by transformers' conversion mapping
  mosaic.py        a parameter as parts of stored tensors
  opening.py       a folder as the parameters of its class, with adapters over it
  parameters.py    a checkpoint seen through the parameters of its class
  sight.py         what an MLP computes within its own forward pass

A model in memory
  loading.py       models made by transformers, placed by accelerate
  hooks.py         neurons and heads of a loaded model, seen and replaced

A model in the common vocabulary
  naming.py        the common names of matrices, and the group that each is in
  body.py          where the decoder lies, and facts about its modules
  roles.py         which parameter is which module of which layer
  layer.py         one layer, read as a whole
  words.py         the words by which models call their projections
  pieces.py        logical matrices, and how parameters are cut into them
  anatomy.py       a model's pieces, and the places of its neurons and heads
  matching.py      which parameter of a tuned model stands for which of the base
"""
