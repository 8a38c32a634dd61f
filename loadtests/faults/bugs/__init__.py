"""Bugs that are seeded on purpose: only a checker that catches them is a checker.

`catalogue.py` lists them, each a small change of the source; `build.py` makes a copy of Guerdon
with one of them; `scenarios.py` and `probes.py` are the situations in which they bite, forced by
locks and failpoints; `trial.py` plays a scenario against a build and tells what the checks found.
`python -m loadtests.faults.bugs` tries all of them. Nothing of this is in src.
"""
