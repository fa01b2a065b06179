"""Quantised checkpoints, read as floating-point tensors.

    checkpoint     a folder as a checkpoint: its tensors, rows on demand
    formats        the formats by the name that config.json gives them, and refusals
    parts          the stored tensors (packed numbers, scales) in their own dtypes
    grids          codes to values, and the energy of rounding to a grid
    packing        small integers out of words and bytes
    scaled         one code per element or packed bits, row by row: FP8, int8, compressed-tensors
    columns        packed by columns: GPTQ, AWQ
    experts        gpt-oss: MXFP4 blocks, transposed
    bitsandbytes   NF4 and FP4 in runs of elements, int8 by rows

Nothing is imported here.
"""
