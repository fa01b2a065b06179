"""Models on disk, and models as transformers builds them. Nothing is imported here.

The contents of a folder
  headers.py       settings, file names and safetensors headers, read before any tensor
  hub.py           models of the hub: their cached snapshots
  checkpoint.py    tensors streamed out of safetensors shards, .bin files and adapters
  family.py        a base and its tuned models: identity, compatibility
  folders.py       errors for folders without readable weights
  signs.py         file names of other libraries and of distributed runs' shards
  pointers.py      Git LFS pointers in place of files
  identity.py      the identity of a model's weights: a hash of the contents of its files
  settings.py      settings that change a model's computation; differences between two models
  configs.py       a configuration with transformers' defaults filled in
  quantised/       quantised checkpoints as floating-point tensors
  gguf/            GGUF files as transformers' parameters
  adapters/        PEFT adapters, one kind at a time

A model as its class builds it
  outline.py       a model's class on the meta device: names, shapes, modules, ties
  plausibility.py  a configuration checked against the files
  layout.py        from stored names to parameters, by transformers' conversion mapping
  mosaic.py        a parameter as parts of stored tensors
  opening.py       a folder as the parameters of its class, with adapters over it
  parameters.py    a checkpoint in terms of its class's parameters
  sight.py         neurons that an MLP computes inside its forward pass

A model in memory
  loading.py       models in memory, one at a time; the tokeniser
  construction.py  a whole model as transformers makes it
  placement.py     the devices of a model's parts
  transfers.py     small tensors to and from a card, without a wait
  memory.py        the free memory of devices, within this process's limits
  cards.py         the accelerators of this host: which one, and why none
  hooks.py         neurons and heads of a loaded model: reading and replacing them
  replay.py        a forward pass in steps, layer by layer

A model in the common vocabulary
  naming.py        the common names of matrices and their groups
  steps.py         the names of checkpoints: a series and a step in training
  body.py          the decoder's place in a model, and facts about its modules
  roles.py         the module and layer of each parameter
  layer.py         one layer, read as a whole
  words.py         the spellings of projections across models
  pieces.py        logical matrices cut out of parameters
  anatomy.py       a model's pieces, and the places of its neurons and heads
  matching.py      the tuned model's parameter for each parameter of the base
"""
