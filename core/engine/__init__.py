"""The runner: from a study to finished units of work.

measurement.py  Measurement, Artifact, Unit and the ResultSink protocol
forms.py        the kinds and axes of an artifact's arrays, checked on reading
registry.py     the analyses, with their parameters, metrics and views (imports no torch)
subject.py      a study's inputs, opened
session.py      a loaded model, for the analyses
probes.py       the probe sets of a study, opened
runner.py       study to units to sink: progress, cancel, resume
executor.py     jobs: units computed together, in this process or elsewhere
doubts.py       warnings that arise while units compute
attempts.py     attempts at jobs: tried again, given up or left out
station.py      a study opened in another process, for the jobs of its run
pacing.py       the duration of units, estimated and corrected by measured units
schedule.py     tasks on several cards, the longest first
spread.py       a run on several cards, by such a schedule
preflight.py    the cost of a run before it starts: units, reading, memory, time
"""
