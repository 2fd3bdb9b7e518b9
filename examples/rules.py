"""A check for ``json fill --check examples/rules.py:...``: what a schema cannot express."""


def agree(value):
    """A person's e-mail address begins with the first name."""
    first = value["name"].split()[0].lower()
    if "email" in value and not value["email"].startswith(first):
        return "the address does not begin with the first name"
    return None
