"""The workstation in the terminal. It reads the database and computes nothing.

app.py       the application: opening, themes, the palette of commands
commands.py  the lines of the palette
keys.py      every action, once: feeds key bindings, the bottom line, the help and the palette
able.py      what each action needs to act, and the place that says whether it is there
feed.py      what the screen of a run reads, and when
data.py      what screens ask of the database
cache.py     answers that were made before
snapshot.py  the runs at one moment, and the words of an empty list
threads.py   work that blocks, done in a thread
warmup.py    imports of the screens that may be opened next
collector.py when garbage is collected
holdings.py  what the library's screen knows
steering.py  from one choice to the next: measures, readings, models, layers, modules
pages.py     the pages of the builder, as data
columns.py   a table as lines of text
completion.py what continues a text that is being typed
outlook.py   what a study will take, asked of another process
memory.py    where the user was, from one start to the next
heading.py   what is selected, as the line above a picture
run_title.py the state of a run as a title
readout.py   what is said of the value under the cursor
theme.py     the colours
bench/       the bench as data: columns, answers, requests in their order
screens/     runs, one run, two compared, building and starting a study, help, a question
widgets/     one figure for each kind of view, and the lines around them
"""
