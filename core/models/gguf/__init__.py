"""GGUF files, read as transformers' floating-point parameters.

    header      a file's metadata and the places of its tensors; imports no torch and no gguf
    steps       the energy of rounding to each type of blocks
    rows        a parameter's rows out of blocks, permuted, joined or transposed
    settings    the configuration: transformers' reading, and the settings that it leaves out
    names       the recipe of each parameter from the file's tensors
    checkpoint  a file as a checkpoint, with its model's outline

Nothing is imported here.
"""
