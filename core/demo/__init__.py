"""The embedded demo family: a small base and four models tuned from it, made offline.

family.py       build(): the one door; order of work, resume, lock, what a finished family is
recipe.py       every hyper-parameter, as frozen data, with the recipe's version
lexicon.py      the closed vocabulary of words that all texts are made of
corpora.py      who owns which facts, the documents and the four-option items of each domain
phrasing.py     the sentence patterns in which a domain asks for its facts
general.py      general text: the domains' words without their facts
tokeniser.py    one token a word, bytes for everything else
checkpoints.py  Hugging Face directories written and read (the only importer of transformers)
training.py     the training loop over packed windows of tokens
scoring.py      held-out loss and four-option accuracy
claim.py        whose folder it is, and who may write in it now
files.py        probe sets, task files, the study file and the family's report
"""
