"""The kinds of views: one file declares a kind and lays out its figure.

boxes.py     DocumentBoxes, ControlBoxes and MemberBoxes: how values of one place lie
curves.py    Curves: lines over an axis, in panels
grids.py     Matrix, Heatmap and Bars: a value for each row and column
groups.py    GroupTable: means and tests of groups of models
passages.py  PassageView, WholeText: one text at a time
scatters.py  ScatterPlot, TwoMeasures: one value against another
steps.py     StepCurves and StepCosines: series of checkpoints against the step
tables.py    SortedTable: rows of any columns, in one of several orders
trades.py    DomainPairs: shares of one domain against shares of another
"""
