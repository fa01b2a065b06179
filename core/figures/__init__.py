"""Figures as data, made from measurements and drawn elsewhere.

views.py           what all views share, choices, and what a run ranges over
kinds/             the kinds of views: curves, grids, bars, boxes, scatters, tables, texts
choices.py         what may be stepped through in a view, and what it asks for
filters.py         the models, layers and modules that a reader wants to see
figure.py          the kinds of figures: lines, a grid, a scatter, a table, text
passages.py        a figure of text
spread.py          quartiles and ends of several values at one place
groups.py          groups of models: mean, spread, tests
layout.py          a view under a choice, laid out: what all kinds share
tables.py          rows of neurons, documents and matrices
leaderboard.py     models on tasks: scores, differences, means of domains
score_tables.py    rows of scores and points of task arithmetic
drop_tables.py     rows of drops when neurons are ablated, and selections side by side
items.py           results of single items before and after, and their flips
item_tables.py     items behind a score, and one item as text
item_findings.py   tables of items in one plain sentence
drop_details.py    controls, neurons and items behind a drop
drop_views.py      the views of drops when neurons are ablated
point_details.py   one point of task arithmetic as text
contexts.py        one neuron in context: snippets of texts, and the tokens that it promotes
spread_findings.py spreads of documents, controls and members in one plain sentence
pairs.py           pairs of tunings: their table, and their figures in one plain sentence
paths.py           paths of series of checkpoints in one plain sentence
spectra.py         curves over rank behind one value
direction_tables.py  tokens of directions: tables, and figures in one plain sentence
direction_passages.py  the passages in which states lie most along a direction
output_tables.py   rows of divergence: tuned models on probe sets, and their documents
shift_tables.py    the tokens that tuning promotes and demotes
forgetting.py      movement of predictions on one probe set against loss on another
output_texts.py    one document with its tokens shaded by how far predictions are apart
output_findings.py figures of predictions in one plain sentence
state_tables.py    rows of tokens that a mean difference of states says
state_findings.py  curves over depth in one plain sentence
findings.py        a figure in one plain sentence
graft_findings.py  figures of grafts in one plain sentence
graft_views.py     the views of grafts
records.py         the typed facts behind the rows of a table
score_findings.py  figures of scores, drops and points in one plain sentence
significance.py    whether a value differs from chance
rounding.py        zero in place of rounding errors
common.py          the values over which two runs range together
pairing.py         two figures of one view: common axes, difference
differences.py     cell minus cell, and the largest difference in one plain sentence
plots/             figures resolved for painters
"""
