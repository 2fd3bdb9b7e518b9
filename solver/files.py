"""Files that are replaced as a whole or left as they were.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = Path(folder, "a.txt")
...     replace_text(path, "all of it")
...     path.read_text(), [entry.name for entry in path.parent.iterdir()]
('all of it', ['a.txt'])
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path in the same folder to write to, and rename it to ``path`` if the block succeeds.

    Args:
        path: the file to replace or to make. The path to write to has the same suffix.

    Raises:
        OSError: the file cannot be written. ``path`` is as it was.
    """
    temporary = path.with_name(f".part-{path.name}")
    try:
        with naming(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put ``path`` into an OSError of the block: an error of writing names no file by itself."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def append_text(path: Path, text: str) -> None:
    """Append to a file in UTF-8. Raises OSError if it cannot be written."""
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def replace_text(path: Path, text: str) -> None:
    """Replace the contents of a file by ``text`` in UTF-8. Raises OSError if it cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
