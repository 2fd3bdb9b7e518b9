"""Figures of single runs, drawn from the JSON of a trace's steps and nothing else.

``boards`` draws Sudoku, ``blocks`` JSON texts and the holes of code, ``curves`` counts over forwards, ``sources`` a text
and the fields read from it. They need
matplotlib (``pip install 'remask[notebooks]'``), which nothing else in ``solver`` imports.
"""
