"""The embedded demo family: a small base and four models tuned from it, trained offline.

family.py       build(): the entry point; order of work, resume, lock, the finished family
recipe.py       every hyper-parameter, as frozen data, with the recipe's version
lexicon.py      the closed vocabulary of all texts
corpora.py      the facts, documents and four-option items of each domain
phrasing.py     the sentence patterns of questions for a domain's facts
general.py      general text: the domains' words without their facts
tokeniser.py    one token per word, bytes for everything else
checkpoints.py  Hugging Face directories written and read (the only importer of transformers)
training.py     the training loop over packed windows of tokens
scoring.py      held-out loss and four-option accuracy
claim.py        the owner of the folder, and the process that may write in it
files.py        probe sets, task files, the study file and the family's report
"""
