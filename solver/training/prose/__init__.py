"""Generated prose for training and evaluation: texts in many registers, with schemas, records and places.

The sentences are templates of this package; the names, places and addresses in them come from ``faker``,
which is needed for nothing else (``pip install faker``). A *register* is a domain (an invoice, a booking;
files in ``domains/``) in a form (prose, a
table, front matter). Some domains, forms, names of keys and cultures are kept for the held-out split.

    record = make_prose(numpy.random.default_rng(7))
    record.text, record.schema, record.record, record.places["/due_date"]
"""

from solver.training.prose.generate import ProseRecord, Split, make_prose

__all__ = ["ProseRecord", "Split", "make_prose"]
