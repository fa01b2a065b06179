"""Ordered steps of the schema: NNNN_name.sql takes a file from version NNNN - 1 to NNNN.

A step that has been released never changes: files in the world are made of it.
"""
