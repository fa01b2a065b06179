"""Ordered steps of the schema: NNNN_name.sql takes a file from version NNNN - 1 to NNNN.

A released step never changes, since existing files were upgraded with it.
"""
