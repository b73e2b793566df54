"""tables.yaml and claims.yaml, checked against the runs of the plan; neither makes a run train.

Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dualdistill.config import method_options, row_keys
from dualdistill.config.run_spec import TEACHERS
from dualdistill.config.settings import Config, Reported
from dualdistill.config.students import students
from dualdistill.config.views import METRICS
from dualdistill.config.yaml import Document, Place, nearest
from dualdistill.errors import UserError
from dualdistill.plan.columns import MEASURES
from dualdistill.plan.variants import Resolver, Variant

# beside the options of methods, and the numbers of a run by their dotted keys
COLUMNS = ("row", "backbone", "method", "base", "teacher", "teacher_row")
IMPORTED = "Imported, not trained here; see docs/released.md."
NAMED = ("backbone", "teacher", "method")  # columns that describe a row outside of tables


@dataclass(frozen=True)
class TableLine:
    """A line of a table."""

    row: str  # of variants.yaml
    shown: dict[str, str]  # column -> printed text
    runs: tuple[str, ...]  # run ids, one per seed
    baseline: str | None  # row to subtract from this row
    reported: dict[str, Reported]  # metric -> the poster's number, if it has one
    remark: str = ""  # footnote on the row's method or weights
    imported: bool = False  # from a released checkpoint


@dataclass(frozen=True)
class TableSpec:
    """A view over runs."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[TableLine, ...]
    headings: dict[str, str]  # column or measure -> printed heading
    measures: tuple[str, ...] = METRICS
    on_request: bool = False
    part: bool = False  # shows some rows of another table


@dataclass(frozen=True)
class Pair:
    """Two rows to compare; their runs are paired by seed."""

    row: str
    beats: str
    runs: tuple[tuple[str, str], ...]  # of the two rows, one pair per seed
    reported: dict[str, tuple[Reported, Reported]]  # metric -> the poster's numbers, if it has both


@dataclass(frozen=True)
class Claim:
    """A sentence about rows; its endpoint is the mean over the pairs, or a trend over ordered rows."""

    name: str
    says: str
    pairs: tuple[Pair, ...]  # of a trend, its steps
    trend: tuple[tuple[str, ...], ...] = ()  # lists of rows, each from the worst expected to the best
    main: bool = False  # of the family of main claims, which Holm's correction treats by itself

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row for pair in self.pairs for row in (pair.row, pair.beats)))


@dataclass(frozen=True)
class Compared:
    """A row that claims compare."""

    group: tuple[str, str]  # backbone and teacher
    runs: dict[int, str]  # by seed


@dataclass(frozen=True)
class Claims:
    level: float  # of the intervals
    margin: float  # mAP points
    claims: tuple[Claim, ...]
    rows: dict[str, Compared]


class TablesAndClaims:
    """The tables and claims of a configuration, checked against its rows."""

    def __init__(self, config: Config, resolver: Resolver, runs: Mapping[tuple[str, int], str]) -> None:
        self.config, self.resolver = config, resolver
        self.runs = runs  # by row and seed
        self.words: Mapping[str, str] = config.tables.value["names"]
        self.headings: Mapping[str, str] = config.tables.value.get("headings", {})
        self.named = {row: self._printed(row, NAMED) for row in resolver.variants}
        self.tables = {name: self._table(name) for name in config.tables.value["tables"]}
        self.claims = self._claims()

    def _table(self, name: str) -> TableSpec:
        table = self.config.tables.value["tables"][name]
        lines = self._lines(name)
        self._check_table(name, table, lines)
        rows = tuple(
            TableLine(
                row=line["row"],
                shown=self._printed(line["row"], table["columns"]) | line.get("shown", {}),
                runs=tuple(dict.fromkeys(self._runs(line["row"]))),  # an imported row has one for all seeds
                baseline=line.get("baseline"),
                reported=self.config.reported[line["reported"]] if "reported" in line else {},
                remark=self._remark(self.resolver.variants[line["row"]]),
                imported=self.resolver.variants[line["row"]].imported,
            )
            for line in lines.values()
        )
        self._refuse_twins(name, rows, lines)
        rows = self._kept(name, rows)
        columns, measures = tuple(table["columns"]), tuple(table.get("measures", METRICS))
        headings = {name: self._heading(name) for name in (*columns, *measures)}
        choice = {"on_request": table.get("on_request", False), "part": "show" in table}
        return TableSpec(name, table["title"], columns, rows, headings, measures, **choice)

    def _kept(self, name: str, rows: tuple[TableLine, ...]) -> tuple[TableLine, ...]:
        """The rows that print one of the words in every column that `show` names."""
        table, kept = self.config.tables.value["tables"][name], rows
        for column, words in table.get("show", {}).items():
            place = ("tables", name, "show", column)
            self._refuse_unknown(self.config.tables, place, column, table["columns"], name, "column")
            printed = {row.shown[column] for row in rows}
            for number, word in enumerate(words):
                self._refuse_unknown(self.config.tables, (*place, number), word, printed, name, "word")
            kept = tuple(row for row in kept if row.shown[column] in words)
        if not kept:
            where = self.config.tables.where(("tables", name, "show"))
            raise UserError(f"table '{name}' shows no row", where=where, hint="name fewer columns")
        return kept

    def _heading(self, name: str) -> str:
        """The heading of a column or measure; a name with capitals such as mAP keeps its spelling."""
        plain = name.rpartition(".")[2]
        plain = plain if plain != plain.lower() else plain.capitalize()
        return self.headings.get(name, plain.replace("_", " "))

    def _lines(self, name: str) -> dict[Place, dict[str, Any]]:
        """A table's lines by their place in the file: those of other tables first, each row once."""
        tables = self.config.tables.value["tables"]
        rows = enumerate(tables[name].get("rows", ()))
        written: dict[Place, dict[str, Any]] = {("tables", name, "rows", place): line for place, line in rows}
        taken: dict[Place, dict[str, Any]] = {}
        for number, other in enumerate(tables[name].get("rows_of", ())):
            if other not in tables or "rows" not in tables[other]:
                what = f"table '{name}' takes the rows of '{other}', which defines no rows"
                where = self.config.tables.where(("tables", name, "rows_of", number))
                raise UserError(what, where=where, hint=nearest(other, set(tables) - {name}))
            known = {line["row"] for line in (*taken.values(), *written.values())}
            for place, line in enumerate(tables[other]["rows"]):
                if line["row"] not in known:
                    taken["tables", other, "rows", place] = {key: line[key] for key in line if key != "shown"}
        if not taken and not written:
            where = self.config.tables.where(("tables", name))
            raise UserError(f"table '{name}' has no rows", where=where, hint="add rows: or rows_of:")
        return taken | written

    def _check_table(
        self, name: str, table: Mapping[str, Any], lines: Mapping[Place, Mapping[str, Any]]
    ) -> None:
        """Check that every row, baseline, reported line, column and measure of a table exists."""
        shown = [line["row"] for line in lines.values()]
        known = {"row": self.resolver.variants, "baseline": shown, "reported": self.config.reported}
        for place, line in lines.items():
            for key, names in known.items():
                if key in line:
                    self._refuse_unknown(self.config.tables, (*place, key), line[key], names, name, key)
            for column in line.get("shown", ()):
                where = (*place, "shown", column)
                self._refuse_unknown(self.config.tables, where, column, table["columns"], name, "column")
        options = (name for method in method_options.methods() for name in method_options.options(method))
        numbers = (name for network in (*students(), *TEACHERS) for name in row_keys.numbers(network))
        for key, names in {"columns": {*COLUMNS, *options, *numbers}, "measures": MEASURES}.items():
            for number, word in enumerate(table.get(key, ())):
                where = ("tables", name, key, number)
                self._refuse_unknown(self.config.tables, where, word, names, name, key.rstrip("s"))

    def _refuse_twins(self, name: str, rows: Iterable[TableLine], places: Iterable[Place]) -> None:
        """Refuse two rows that print the same text in every column."""
        first: dict[tuple[str, ...], str] = {}
        for row, place in zip(rows, places, strict=True):
            printed = tuple(row.shown.values())
            if printed in first:
                label = " ".join(filter(None, printed))
                what = f"table '{name}' prints the rows '{first[printed]}' and '{row.row}' alike: '{label}'"
                hint = "add a column in which they differ, or describe them with `shown`"
                raise UserError(what, where=self.config.tables.where(place), hint=hint)
            first[printed] = row.row

    def _refuse_unknown(
        self, file: Document, place: Place, word: str, known: Iterable[str], owner: str, noun: str
    ) -> None:
        known = set(known)
        if word not in known:
            view = "claim" if file is self.config.claims else "table"
            what = f"{view} '{owner}' names the unknown {noun} '{word}'"
            raise UserError(what, where=file.where(place), hint=nearest(word, known))

    def _remark(self, variant: Variant) -> str:
        """Footnote for an imported row or for a method that is a reconstruction; empty for others."""
        method = variant.method
        if variant.imported:
            return IMPORTED
        if method is None or not method_options.trait(method, "reconstruction"):
            return ""
        why = "neither its code nor its full text could be read"
        return f"{_word(method, self.words)} is a reconstruction: {why}; see docs/methods/{method}.md."

    def _printed(self, row: str, columns: Iterable[str]) -> dict[str, str]:
        """The text of a row in each column, in the words of tables.yaml."""
        variants = self.resolver.variants
        variant = variants[row]
        options = method_options.fill(variant.method, variant.options) if variant.method else {}
        values: dict[str, Any] = {
            **options,
            "row": variant.name,
            "backbone": variant.backbone,
            "method": variant.method or variant.model,
            "base": variant.model if variant.method else None,
            "teacher": variants[variant.teacher].model if variant.teacher else None,
            "teacher_row": variant.teacher,
        }
        values |= {column: self._number(row, column) for column in columns if "." in column}
        return {column: _word(values.get(column), self.words) for column in columns}

    def _number(self, row: str, key: str) -> Any:
        """A number of the row's runs by its dotted key; None if they have no such number."""
        value: Any = self.resolver.spec(row, self.config.settings.seeds[0])
        for part in key.split("."):
            value = getattr(value, part, None)
        return value

    def _runs(self, row: str) -> tuple[str, ...]:
        return tuple(self.runs[row, seed] for seed in self.config.settings.seeds)

    def _claims(self) -> Claims:
        file = self.config.claims
        reported = self._reported()
        claims = []
        for name, claim in file.value["claims"].items():
            trend = self._trend(name, claim)
            steps = [
                {"row": better, "beats": worse} for several in trend for worse, better in pairwise(several)
            ]
            for number, pair in enumerate(claim.get("pairs", ())):
                for key in ("row", "beats"):
                    place = ("claims", name, "pairs", number, key)
                    self._refuse_unknown(file, place, pair[key], self.resolver.variants, name, "row")
            pairs = tuple(self._pair(pair, reported) for pair in claim.get("pairs", steps))
            claims.append(Claim(name, claim["says"], pairs, trend, claim.get("main", False)))
        rows = dict.fromkeys(row for claim in claims for row in claim.rows)
        compared = {row: self._compared(row) for row in rows}
        return Claims(file.value["level"], file.value["margin"], tuple(claims), compared)

    def _trend(self, name: str, claim: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
        """The ordered rows of a claim, if it is about a trend."""
        file = self.config.claims
        if ("pairs" in claim) == ("trend" in claim):
            what = f"claim '{name}' needs either pairs or a trend"
            raise UserError(what, where=file.where(("claims", name)), hint="see the head of claims.yaml")
        for number, several in enumerate(claim.get("trend", ())):
            place: Place = ("claims", name, "trend", number)
            for at, row in enumerate(several):
                self._refuse_unknown(file, (*place, at), row, self.resolver.variants, name, "row")
            if len(several) < 2:
                raise UserError(f"claim '{name}' has a trend over a single row", where=file.where(place))
        return tuple(tuple(several) for several in claim.get("trend", ()))

    def _pair(self, pair: Mapping[str, str], reported: Mapping[tuple[str, ...], dict[str, Reported]]) -> Pair:
        row, beats = pair["row"], pair["beats"]
        ours, theirs = (reported.get(self._runs(name), {}) for name in (row, beats))
        both = {metric: (ours[metric], theirs[metric]) for metric in ours if metric in theirs}
        return Pair(row, beats, tuple(zip(self._runs(row), self._runs(beats), strict=True)), both)

    def _compared(self, row: str) -> Compared:
        variant, seeds = self.resolver.variants[row], self.config.settings.seeds
        runs = dict(zip(seeds, self._runs(row), strict=True))
        return Compared((variant.backbone or variant.model, variant.teacher or ""), runs)

    def _reported(self) -> dict[tuple[str, ...], dict[str, Reported]]:
        """The poster's numbers by the runs of a row; refuse a row with two different reported numbers."""
        used: dict[tuple[str, ...], str] = {}
        for name, table in self.config.tables.value["tables"].items():
            for number, line in enumerate(table.get("rows", ())):
                if "reported" not in line:
                    continue
                reported, first = line["reported"], used.setdefault(self._runs(line["row"]), line["reported"])
                if self._values(reported) != self._values(first):
                    what = f"row '{line['row']}' has two reports that differ: '{first}' and '{reported}'"
                    where = self.config.tables.where(("tables", name, "rows", number, "reported"))
                    hint = "name a single line of reported.csv, or lines with equal numbers"
                    raise UserError(what, where=where, hint=hint)
        return {runs: self.config.reported[reported] for runs, reported in used.items()}

    def _values(self, reported: str) -> dict[str, float]:
        return {metric: number.value for metric, number in self.config.reported[reported].items()}


def _word(value: Any, words: Mapping[str, str]) -> str:
    if value is None:
        return ""
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return words.get(text, text)
