"""The widgets of the workstation: figures with a cursor, lists, forms, and the lines around them.

figure.py       what all figures share: a cursor, scrolling, painting only what changed
curves.py       one for each kind of figure: also grid.py, bars.py, scatter.py, table.py,
                passages.py
pane.py         a figure with its selectors and its readout; side.py one of a comparison
finding.py      what a figure says in words
pictures.py     the panes of one analysis
facts.py        what else is known of a run
overview.py     cards and findings of a run; run_preview.py shows them beside the list of runs
listing.py      rows with a selection; run_list.py of runs, model_list.py of models
run_detail.py   what is known of one run, in words
model_detail.py what is known of one model, in words
board.py        the columns of the bench; lens.py looks into one, prompt.py is typed into;
                bench_line.py the benches that run
form.py         things to fill in; plain_input.py a line to type into
study_text.py   a study file as it becomes
outlook.py      what a study will take
filter_line.py  the line in which a filter is written
bar.py          one-row bars: title, keys
tab_bar.py      the row of tabs, grouped by topic
steady.py       widgets that lay nothing out again
"""
