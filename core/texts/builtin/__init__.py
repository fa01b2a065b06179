"""The built-in probe sets: texts for studies without their own.

Each file is JSON lines, one {"text": ...} per document, forty documents of about 120 words. All
were written for this project and have its licence.

medical.jsonl    cases, mechanisms, laboratory results, letters, nursing notes, public health
maths.jsonl      worked problems, proofs, definitions and lessons, in plain text
code.jsonl       programs in several languages, reviews, error messages, commits;
                 a text that opens with a docstring is a whole module with working examples
general.jsonl    encyclopaedia, travel, cooking, letters, news, fables, sport, history
"""
