"""What a person touches: the commands, the jobs, the exports and the terminal screens.

cli.py          the command line: which commands there are, and exit codes
commands/       the commands and their options
worker.py       one run in its own process
stopping.py     how signals stop a run
jobs.py         detached workers: ready, start
demo.py         the demo in a process of its own
building.py     a study in the making, and what it means
fields.py       what can be filled in of a study, from its declarations
studyfile.py    a draft as the text of a study file
toml.py         values as TOML spells them
answers.py      a draft from the options of a command
merging.py      a merge asked for in the terminal
library.py      which models are on this machine, families together
lineage.py      who was made from whom
shelves.py      where models lie: the Hugging Face cache, the user's folders
appraisal.py    what the files of one model say of it
parentage.py    where they say that it comes from
watch.py        following a run until it ends
ready.py        the study files that come with the program
preflight.py    what a run will take, for people and as JSON
selection.py    which analyses a study gets
figures.py      the figures of a run under their first choices
comparing.py    two runs held against each other
inspection/     what a run over weights found, told at once
printing.py     what goes to stdout
narration.py    what goes to stderr
streams.py      both, where they are full or closed
doctor.py       what is found on this machine
config.py       the user's own settings
environment.py  versions and settings of a run
serving.py      the workstation in a browser: who may open it
window.py       one window of it, which ends with the server
workstation.py  the server of that, and its windows
gauge.py        how busy this host and its GPUs are
text.py         text from outside, made harmless
wording.py      states, times and sizes in words
charts/         figures as terminal text
export/         one writer per format
studies/        ready study files for published families
tui/            the workstation
"""

__version__ = "0.1.0"
