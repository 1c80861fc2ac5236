"""Finding the columns that somebody named."""

from __future__ import annotations

from difflib import get_close_matches

from affectscope.data.table_file import Table
from affectscope.errors import ColumnError


def nearest(name: str, choices: tuple[str, ...]) -> str | None:
    """The choice that is spelt most like ``name``, if any is close."""
    by_lower_case = {choice.lower(): choice for choice in choices if choice}
    close = get_close_matches(name.lower(), by_lower_case, n=1)
    return by_lower_case[close[0]] if close else None


def require_column(table: Table, name: str, option: str) -> str:
    """The column's name, if the table has it.

    Args:
        table: The table.
        name: The column that was asked for.
        option: The option that named it, for the message.

    Raises:
        ColumnError: The table has no such column.
    """
    if name in table.columns:
        return name
    if name in table.not_text:
        raise ColumnError(
            f'the column "{name}" of {table.source} holds {table.not_text[name]}',
            expected="a column with one text, number or class in each record",
            remedy=f"name another with {option} ({_listed(table)}), or write the file with one "
            "value in each record",
        )
    suggestion = nearest(name, table.columns)
    raise ColumnError(
        f'{table.source} has no column "{name}"',
        expected=f"one of its columns: {_listed(table)}",
        remedy=f'did you mean "{suggestion}"? Give {option} {suggestion}'
        if suggestion
        else f"name one of these with {option}",
    )


def usual_column(table: Table, usual: tuple[str, ...], option: str, content: str) -> str:
    """The one column with a usual name, for when none was asked for.

    Raises:
        ColumnError: There is none, or there are several.
    """
    found = [name for name in usual if name in table.columns]
    if len(found) == 1:
        return found[0]
    problem = f"could be {' or '.join(found)}" if found else "cannot be told from the column names"
    raise ColumnError(
        f"which column of {table.source} holds the {content} {problem}",
        expected=f"one of its columns: {_listed(table)}",
        remedy=f"name the column with {option}",
    )


def _listed(table: Table) -> str:
    return ", ".join(name for name in table.columns if name)
