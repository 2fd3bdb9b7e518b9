"""Figures of single runs.

``boards`` draws Sudoku, ``blocks`` JSON texts and the holes of code, ``curves`` counts over forwards, all from
the JSON of a trace's steps. ``sources`` draws a text and the fields that were read from it. They need
matplotlib (``pip install 'remask[notebooks]'``), which nothing else in ``solver`` imports.
"""
