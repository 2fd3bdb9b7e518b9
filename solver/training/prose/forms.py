"""Documents that are no sentences: lines of labels and values, tables, front matter, tags, log lines.

Every domain can be written in every form. The labels are drawn from the names of the roles and need not be
the names that the schema uses.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

from solver.training.prose.compose import Composer, Piece, join_pieces
from solver.training.prose.domain import draw_name
from solver.training.prose.kinds import Several
from solver.training.prose.pattern import roles_of

Line = tuple[str, list[Piece]]  # a label and the pieces of its value
NOTHING = ("-", "n/a", "none", "", "not given", "unknown", "?", "--")


def form_lines(composer: Composer) -> list[Line]:
    """Labels and values of some roles of the domain, a few of them denied."""
    rng, domain = composer.rng, composer.domain
    names = list(domain.roles)
    count = rng.randint(min(3, len(names)), min(10, len(names)))
    chosen = sorted(rng.sample(range(len(names)), count))
    if rng.random() < 0.25:
        rng.shuffle(chosen)
    lines, labels = list[Line](), set[str]()
    denied_share = rng.choice((0.0, 0.0, 0.15))
    for name in (names[index] for index in chosen):
        label = draw_name(rng, composer.roles[name].names, composer.style.held_out)
        if label in labels:
            continue
        labels.add(label)
        if rng.random() < denied_share and not isinstance(composer.roles[name].kind, Several):
            composer.denied.add(name)
            lines.append((label, [Piece(rng.choice(NOTHING))]))
        else:
            separator = rng.choice((", ", ", ", "; ", " / "))
            lines.append((label, composer.role_pieces(name, separator, separator)))
    composer.denied = {name for name in composer.denied if composer.can_be_absent(name)}
    return lines


def label_style(rng: Random) -> Callable[[str], str]:
    """How the document writes labels."""
    return rng.choice(
        (
            str.capitalize,
            str.capitalize,
            str.title,
            str.lower,
            str.upper,
            lambda label: label.replace(" ", "_"),
            lambda label: label.title().replace(" ", ""),
            lambda label: label.replace(" ", "-"),
        )
    )


def key_values(composer: Composer, separators: tuple[str, ...]) -> list[Piece]:
    """A label and a value on each line."""
    style, separator = label_style(composer.rng), composer.rng.choice(separators)
    lines = form_lines(composer)
    width = max(len(label) for label, _ in lines) + 1 if composer.rng.random() < 0.2 else 0
    pieces = list[Piece]()
    for label, value in lines:
        gap = "" if separator == "\n" else " " * max(0, width - len(label))
        pieces += [
            Piece(style(label) + separator + gap),
            *value,
            Piece("\n\n" if separator == "\n" else "\n"),
        ]
    return [*pieces, *row_table(composer)]


def front_matter(composer: Composer) -> list[Piece]:
    """Lines between rules, with a sentence of the domain below."""
    lines, rng = form_lines(composer), composer.rng
    rule = rng.choice(("---", "---", "+++"))
    separator = " = " if rule == "+++" else ": "
    body = list[Piece]()
    for label, value in lines:
        quote = '"' if rule == "+++" or rng.random() < 0.1 else ""
        key = label.replace(" ", rng.choice("_-") if len(lines) % 2 else "_")
        body += [Piece(f"{key}{separator}{quote}"), *value, Piece(f"{quote}\n")]
    template = rng.choice(rng.choice(composer.domain.facts or (("",),)))
    ending = composer.sentence(template) if composer.denied.isdisjoint(roles_of(template)) else []
    return [Piece(f"{rule}\n"), *body, Piece(f"{rule}\n\n"), *ending]


def two_columns(composer: Composer) -> list[Piece]:
    """A table with a row for each role."""
    rng, style, lines = composer.rng, label_style(composer.rng), form_lines(composer)
    head = rng.choice((("Field", "Value"), ("Item", "Details"), ("", ""), ("Property", "Entry")))
    cells = [[[Piece(style(label))], value] for label, value in lines]
    return [*table(rng.choice(("markdown", "aligned", "pipes")), head, cells), *row_table(composer)]


def one_row(composer: Composer) -> list[Piece]:
    """A table with a column for each role, and one row."""
    style, lines = label_style(composer.rng), form_lines(composer)
    head = tuple(style(label) for label, _ in lines)
    layout = composer.rng.choice(("markdown", "csv", "csv", "tabs", "semicolons"))
    return table(layout, head, [[value for _, value in lines]])


def bullets(composer: Composer) -> list[Piece]:
    """A list of labels and values, under a heading."""
    rng, style = composer.rng, label_style(composer.rng)
    mark, bold = rng.choice(("- ", "* ", "• ")), rng.choice(("", "**"))
    head = (
        f"# {rng.choice(composer.domain.titles)}\n\n" if composer.domain.titles and rng.random() < 0.6 else ""
    )
    pieces = [Piece(head)]
    for label, value in form_lines(composer):
        pieces += [Piece(f"{mark}{bold}{style(label)}:{bold} "), *value, Piece("\n")]
    return [*pieces, *row_table(composer)]


def inline_pairs(composer: Composer) -> list[Piece]:
    """Labels and values in one line."""
    rng, style = composer.rng, label_style(composer.rng)
    separator, joint = rng.choice(((": ", "; "), (": ", " | "), (" = ", ", "), (": ", ". "), (" ", " · ")))
    items = [[Piece(style(label) + separator), *value] for label, value in form_lines(composer)]
    return list(join_pieces(items, joint, joint))


def log_line(composer: Composer) -> list[Piece]:
    """Keys and values with an equals sign, as a program logs them."""
    rng = composer.rng
    items = list[list[Piece]]()
    for label, value in form_lines(composer):
        quote = '"' if any(" " in piece.text for piece in value) else ""
        items.append([Piece(f"{label.replace(' ', '_')}={quote}"), *value, Piece(quote)])
    start = rng.choice(("INFO ", "level=info ", "[worker-2] ", "", "DEBUG app: "))
    return [Piece(start), *join_pieces(items, " ", " ")]


def questions(composer: Composer) -> list[Piece]:
    """A form with questions and answers."""
    rng = composer.rng
    shape = rng.choice(("What is the {}?\n", "Q: {}?\nA: ", "{}?\n> ", "Please enter the {}: "))
    pieces = list[Piece]()
    for label, value in form_lines(composer):
        pieces += [Piece(shape.format(label)), *value, Piece("\n")]
    return pieces


def tags(composer: Composer) -> list[Piece]:
    """Elements of a markup language."""
    pieces = list[Piece]()
    for label, value in form_lines(composer):
        name = label.replace(" ", "_")
        pieces += [Piece(f"<{name}>"), *value, Piece(f"</{name}>\n")]
    return pieces


def assignments(composer: Composer) -> list[Piece]:
    """Lines of a settings file, in sections."""
    rng = composer.rng
    pieces = [Piece(f"[{composer.domain.name}]\n")]
    quote = rng.choice(('"', ""))
    for label, value in form_lines(composer):
        pieces += [Piece(f"{label.replace(' ', '_')} = {quote}"), *value, Piece(f"{quote}\n")]
    return pieces


def table(layout: str, head: tuple[str, ...], rows: list[list[list[Piece]]]) -> list[Piece]:
    """A table of cells of pieces, in one of several layouts."""
    cells = [[[Piece(name)] for name in head], *rows] if any(head) else rows
    if layout == "csv" and any(map(has_adjacent_numbers, rows)):
        layout = "semicolons"
    joint = {"markdown": " | ", "pipes": " | ", "csv": ",", "tabs": "\t", "semicolons": ";", "aligned": "  "}[
        layout
    ]
    widths = [
        max(sum(len(piece.text) for piece in row[column]) for row in cells) for column in range(len(head))
    ]
    pieces = list[Piece]()
    for number, row in enumerate(cells):
        line = list[list[Piece]]()
        for column, cell in enumerate(row):
            size = sum(len(piece.text) for piece in cell)
            quote = (
                '"' if layout in ("csv", "semicolons") and any(joint in piece.text for piece in cell) else ""
            )
            padding = " " * (widths[column] - size) if layout == "aligned" else ""
            line.append([Piece(quote), *cell, Piece(quote + padding)])
        edge = ("| ", " |") if layout == "markdown" else ("", "")
        pieces += [Piece(edge[0]), *join_pieces(line, joint, joint), Piece(f"{edge[1]}\n")]
        if number == 0 and layout == "markdown":
            pieces.append(Piece("|" + "---|" * len(head) + "\n"))
    return pieces


def has_adjacent_numbers(row: list[list[Piece]]) -> bool:
    """Whether a number in one cell is next to a number in the next, so that a comma between them misleads."""
    texts = ["".join(piece.text for piece in cell) for cell in row]
    return any(first[-1:].isdigit() and text[:1].isdigit() for first, text in pairwise(texts))


def row_table(composer: Composer) -> list[Piece]:
    """The domain's list of objects as a table or as lines, in half of the documents."""
    rows, rng = composer.domain.rows, composer.rng
    if rows is None or rng.random() < 0.4:
        return []
    heading = f"\n{draw_name(rng, rows.names, composer.style.held_out).capitalize()}:\n"
    if rng.random() < 0.35:
        return [
            Piece(heading.rstrip("\n") if rng.random() < 0.5 else heading),
            Piece(" "),
            *composer.row_pieces(),
        ]
    names = [name for name in rows.roles if rng.random() < 0.9] or list(rows.roles)
    composer.row_count = rng.randint(rows.low, rows.high)
    cells = [
        [composer.value_pieces(f"rows.{index}.{name}", rows.roles[name].kind) for name in names]
        for index in range(composer.row_count)
    ]
    style = label_style(rng)
    head = tuple(style(draw_name(rng, rows.roles[name].names, composer.style.held_out)) for name in names)
    return [Piece(heading), *table(rng.choice(("markdown", "csv", "aligned", "tabs", "pipes")), head, cells)]


FORMS: dict[str, Callable[[Composer], list[Piece]]] = {
    "lines": lambda composer: key_values(composer, (": ", ": ", ":", " = ", ":\t", " - ")),
    "labels": lambda composer: key_values(composer, ("\n", " .... ", " => ", " : ")),
    "front-matter": front_matter,
    "columns": two_columns,
    "row": one_row,
    "bullets": bullets,
    "pairs": inline_pairs,
    "log": log_line,
    "questions": questions,
    "settings": assignments,
    "tags": tags,
}
HELD_OUT_FORMS = ("tags", "questions")
