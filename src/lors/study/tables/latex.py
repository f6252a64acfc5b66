"""A table as LaTeX, for the packages booktabs and graphicx; any engine compiles it."""

import re

from lors.study.tables.parts import Cell, Line, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "–": "--", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "↔": r"$\hookrightarrow$", "λ": r"$\lambda$",
    "†": r"$\dag$", "‡": r"$\ddag$", "§": r"$\S$", "¶": r"$\P$",
}  # fmt: skip


def latex_table(table: Table) -> str:
    """A floating table, as wide as the page at most, with caption and notes; its label is `tab:NAME`."""
    columns = len(table.columns)
    rows = [*_head(table), r"\midrule"]
    for place, line in enumerate(table.lines):
        if line.rule and place:
            rows.append(r"\midrule")
        rows.append(_row(line, columns))
    body = "\n".join(rows)
    notes = (
        f"\\par\\smallskip\n{{\\footnotesize {_latex(' '.join(table.notes))}\\par}}\n" if table.notes else ""
    )
    return (
        f"\\begin{{table*}}[t]\n\\centering\n\\caption{{{_caption(table)}}}\n\\label{{tab:{table.name}}}\n\\medskip\n"
        f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n"
        f"\\begin{{tabular}}{{l{'r' * columns}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}}}\n"
        f"{notes}\\end{{table*}}\n"
    )


def _caption(table: Table) -> str:
    """LaTeX counts its tables itself: another one is named by its label."""
    return re.sub(r"Table (\d+)", r"Table~\\ref{tab:table-\1}", _latex(table.caption))


def _head(table: Table) -> list[str]:
    rows = []
    if table.has_groups:
        cells, rules, at = [""], "", 2
        for group, width in table.groups:
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_latex(group)}}}" if group else " &" * (width - 1))
            rules += rf"\cmidrule(lr){{{at}-{at + width - 1}}}" if group else ""
            at += width
        rows += [" & ".join(cells) + r" \\", rules]
    headings = [table.first, *(column.heading for column in table.columns)]
    rows.append(" & ".join(map(_latex, headings)) + r" \\")
    if any(column.n is not None for column in table.columns):
        counts = ["" if c.n is None else rf"{{\tiny $n={c.n}$}}" for c in table.columns]
        rows.append(" & ".join(["", *counts]) + r" \\")
    return rows


def _row(line: Line, columns: int) -> str:
    if not line.cells:
        return rf"\multicolumn{{{columns + 1}}}{{l}}{{\textit{{{_latex(line.system)}}}}} \\"
    return " & ".join([_latex(line.system), *map(_cell, line.cells)]) + r" \\"


def _cell(cell: Cell) -> str:
    text = rf"\textbf{{{_latex(cell.text)}}}" if cell.bold else _latex(cell.text)
    if cell.marks:
        # In mathematics, as the text fonts of a plain LaTeX have no daggers.
        text += f"$^{{{_latex(cell.marks).replace('$', '')}}}$"
    if cell.interval:
        text += rf" {{\tiny ({_latex(cell.interval)})}}"
    return rf"\multicolumn{{{cell.span}}}{{c}}{{{text}}}" if cell.span > 1 else text


def _latex(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)
