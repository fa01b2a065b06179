"""GGUF files, read as the floating-point tensors that transformers makes of them.

    header      what a file states and where its tensors lie; imports neither torch nor the package
    steps       the energy that rounding to each type of blocks has
    rows        a tensor's rows out of its blocks, permuted, joined or turned as a parameter needs
    settings    the configuration: transformers' reading, and what it leaves out
    names       which tensors of the file make which parameter, and how
    checkpoint  a file as a checkpoint, with the outline of its model

Nothing is imported here.
"""
