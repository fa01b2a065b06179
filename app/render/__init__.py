"""Figures and runs in every form that a person or a program reads.

terminal/  figures as text
html/      a run as one HTML page
print/     figures as SVG and PNG for papers
data/      a run as CSV, Parquet, JSON and Markdown, and the folder of all formats
"""
