"""Cases and methods -> edits, made or found, and what they say: a page, tables, plots and contact sheets."""

import logging
import math
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dmt.data import AttributeSplits, ImageError, Selection, Task, to_pixels
from dmt.editing.choices import BudgetChoice, FixedBudget
from dmt.editing.editor import Editor, Method
from dmt.editing.records import EditedImage, Record
from dmt.errors import UserError, nearest_name
from dmt.judges import CoutJudge, Judge, OutputJudge, ProbeJudge
from dmt.judges.verdicts import age_shift, gender_flipped, reached
from dmt.reporting.results import Report
from dmt.storage import processes
from dmt.studies.benchmark.cells import Cell
from dmt.studies.benchmark.curves import curves_of
from dmt.studies.benchmark.page import Benchmark, Sheet, write_page
from dmt.studies.benchmark.sheets import contact_sheet, rank
from dmt.studies.benchmark.statistics import curve_table, differences
from dmt.studies.benchmark.tables import difference_records, headline, headline_measures, headline_records, markdown
from dmt.traversal.walks import check_budget

log = logging.getLogger(__name__)

MEASURED = (  # columns of an edit's record that are measures as they are
    "identity",
    "attributes_changed",
    "lpips",
    "ssim",
    "psnr",
    "cout",
    "change",
    "change_rms",
    "change_center",
    "change_outside",
    "delta",
    "shrinkage",
    "witness_before",
    "witness_after",
    "evaluations",
    "seconds",
)
PROBE = "probe"  # the name of the judge that a case trains where it names none
INDEPENDENT = {  # settings that change no edit
    *("output_dir", "progress", "logger", "output", "figure", "lambda", "images", "n_images", "threads"),
    *("data_dir", "weights_dir", "cache_dir"),
}
SHOWN_RATE = 0.8  # contact sheets show the strength whose flip rate is nearest to this
ON_A_SHEET = 24


@dataclass(frozen=True)
class Case:
    """What methods are compared on: inputs, which way, and who decides.

    Args:
        task: which way.
        images: the inputs, by name.
        selection: chooses the sets.
        methods: names of the methods that are tried.
        judge: name of the judge that decides; ``None``: a probe that is trained for the task.
        beyond: the side of the threshold on which the target lies, ``above`` or ``below``.
        threshold: where the judge is undecided.
        keep: labels that the edit shall leave alone; ``None``: the task's balance.
        most: of the images, from the first on; ``None``: all.
    """

    task: Task
    images: Sequence[str]
    selection: Selection
    methods: Sequence[str]
    judge: str | None = None
    beyond: str = "above"
    threshold: float = 0.5
    keep: Sequence[str] | None = None
    most: int | None = None


@dataclass(frozen=True)
class Trial:
    """A case with its judges trained and its inputs looked at.

    Args:
        name: of the case.
        case: as it was asked for.
        editor: with the case's selection and judges.
        judge: name of the judge that decides.
        inputs: the images that decode and that the judge does not see on the target's side before any edit.
        broken: those that do not decode.
    """

    name: str
    case: Case
    editor: Editor
    judge: str
    inputs: list[str]
    broken: list[str]


@dataclass(frozen=True)
class BenchmarkRun:
    """Edits all cases by all methods over lambda' and compares them at equal flip rates.

    What was edited is kept below a folder and found again, so that whoever is interrupted goes on where he was.

    Args:
        title: of the page.
        folder: of the edits and the page.
        cases: name, with underscores for spaces -> case.
        methods: name -> method.
        budgets: lambda' from weak to strong; infinity gives the reconstruction floor.
        unbudgeted: names of the methods that do not read lambda'.
        choices: name of a method -> what makes its choice of lambda' from a level; its place among the others is the
            geometric mean of the lambdas chosen.
        levels: for these methods, from weak to strong.
        probe: task -> the judge of cases that name none.
        attributes: task -> the judge of side effects.
        resamples: of each bootstrap.
        only: names of the cases that are run; empty: all.
        settings: what else the page says of how it was measured.
    """

    title: str
    folder: str
    cases: Mapping[str, Case]
    methods: Mapping[str, Method]
    budgets: Sequence[float]
    unbudgeted: Sequence[str] = ("adversarial",)
    choices: Mapping[str, Callable[..., BudgetChoice]] = field(default_factory=dict)
    levels: Sequence[float] = (1.0,)
    probe: Callable[..., Judge] | None = None
    attributes: Callable[..., Judge] | None = None
    resamples: int = 2000
    only: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, editor: Editor, task: Task, images: Sequence[str], n_images: int) -> Report:
        self._check()
        records: list[Record] = []
        sheets: dict[str, Image.Image] = {}
        skipped: dict[str, str] = {}
        for key in self.only or self.cases:
            case = self.cases[key]
            name = key.replace("_", " ")
            try:
                trial = self._trial(name, case, editor)
            except UserError as error:
                log.warning("benchmark: %s is left out: %s", name, error)
                skipped[f"left out: {name}"] = str(error)
                continue
            found = list(self._edits(trial))
            records += [record for _, own in found for record in own]
            sheets |= _sheets(trial, found)
        if not records:
            raise UserError("no case of the benchmark could be judged: " + "; ".join(skipped.values()))
        return self._report(records, sheets, skipped)

    def _check(self) -> None:
        if processes.count() > 1:
            raise UserError("a benchmark keeps its edits as it goes, by one process; leave trainer=default")
        if not self.budgets:
            raise UserError("figure.budgets is empty; give some lambda, such as figure.budgets=[0.3,0.15]")
        for name in self.only:
            if name not in self.cases:
                raise UserError(f"the benchmark has no case {name!r}{nearest_name(name, self.cases)}")
        for case in self.cases.values():
            for method in case.methods:
                if method not in self.methods:
                    raise UserError(f"the benchmark has no method {method!r}{nearest_name(method, self.methods)}")

    def _trial(self, name: str, case: Case, editor: Editor) -> Trial:
        judges = dict(editor.judges)
        if self.attributes is not None:
            judges["attributes"] = self.attributes(task=case.task)
        judge = case.judge or PROBE
        if case.judge is None:
            if self.probe is None:
                raise UserError(f"{name} names no judge, and there is no figure.probe to train")
            judges[PROBE] = self.probe(task=case.task)
        if judge not in judges:
            raise UserError(f"{name} has no judge {judge!r}{nearest_name(judge, judges)}; add it to judges")
        decides = judges[judge]
        if isinstance(decides, OutputJudge | ProbeJudge) and case.threshold == 0.5:
            judges["cout"] = CoutJudge(decides, case.beyond)
        settings = {**editor.settings, "keep": case.keep}
        editor = replace(editor, selection=case.selection, judges=judges, keep=case.keep, settings=settings)
        names = list(case.images)[: case.most]
        inputs, broken = _open_inputs(editor.splits(task=None), names, decides, case)
        log.info(
            "benchmark: %s: %d of %d inputs are not on the target's side yet%s",
            name,
            len(inputs),
            len(names),
            f"; {len(broken)} do not decode" if broken else "",
        )
        if not inputs:
            raise UserError(f"the judge {judge!r} sees every input of {name} on the target's side")
        return Trial(name, case, editor, judge, inputs, broken)

    def _edits(self, trial: Trial) -> Iterator[tuple[Cell, list[Record]]]:
        for method in trial.case.methods:
            seen: set[float] = set()
            for strength in self._strengths(method):
                cell = self._cell(trial, method, strength)
                if not cell.is_done:
                    self._fill(cell, trial, method, strength)
                records = cell.records()
                budget = _mean_budget(records) if method in self.choices else strength
                if budget in seen:
                    continue  # a stronger level that changed nothing
                seen.add(budget)
                lost: list[Record] = [
                    {"case": trial.name, "method": method, "lambda": budget, "image": image, "flipped": 0, "failed": 1}
                    for image in trial.broken
                ]
                yield cell, [{**record, "lambda": budget} for record in records] + lost

    def _strengths(self, method: str) -> list[float]:
        if method in self.unbudgeted:
            return [math.nan]
        if method in self.choices:
            return [float(level) for level in self.levels]
        return [check_budget(value) for value in self.budgets]

    def _cell(self, trial: Trial, method: str, strength: float) -> Cell:
        kept = {key: value for key, value in trial.editor.settings.items() if key not in INDEPENDENT}
        determined_by = {
            "version": version("dmt"),
            "settings": kept,
            "what": repr((trial.case.task, trial.case.selection, self.methods[method], self.choices.get(method))),
            "inputs": trial.inputs,
            "judge": trial.judge,
        }
        return Cell.of(Path(self.folder) / "cells", trial.name, method, strength, determined_by)

    def _fill(self, cell: Cell, trial: Trial, method: str, strength: float) -> None:
        choice: BudgetChoice = FixedBudget(1.0 if math.isnan(strength) else strength)
        if method in self.choices:
            choice = self.choices[method](level=strength)
        log.info("benchmark: %s, %s, %s", trial.name, method, choice.title)
        editor = replace(trial.editor, method=self.methods[method], budget=choice)
        edit = editor.edit(trial.case.task, trial.inputs, len(trial.inputs))
        cell.write(edit.images, [_record(trial, method, image) for image in edit.images])

    def _report(
        self, records: Sequence[Record], sheets: Mapping[str, Image.Image], skipped: Mapping[str, str]
    ) -> Report:
        folder = Path(self.folder)
        curves = curves_of(records)
        for name, sheet in sheets.items():
            sheet.save(folder / f"{name}.png")
        shown = [Sheet(f"{name}.png", name.replace("-", " ")) for name in sheets]
        measured = {**_machine(), **self.settings, **skipped}
        benchmark = Benchmark(self.title, date.today().isoformat(), measured, curves, shown, resamples=self.resamples)
        page = write_page(folder, benchmark)
        rows = headline(curves, resamples=self.resamples)
        log.info("\n%s\n%s", self.title, markdown(rows, headline_measures(curves)))
        log.info("the page: %s", page)
        plots = {file.stem: Image.open(file).convert("RGB") for file in sorted(folder.glob("curves-*.png"))}
        tables: dict[str, Sequence[Record]] = {
            "headline": headline_records(rows),
            "differences": difference_records(differences(curves, resamples=self.resamples)),
            "curves": curve_table(curves, self.resamples),
            "edits": records,
        }
        return Report(self.title, [], {**plots, **sheets}, tables)


def _open_inputs(data: AttributeSplits, names: Sequence[str], judge: Judge, case: Case) -> tuple[list[str], list[str]]:
    """The inputs that are still to be edited, and those that do not decode."""
    pictures, broken = {}, []
    for name in names:
        try:
            pictures[name] = data.original(name)
        except ImageError:
            broken.append(name)
    before = list(pictures.values())
    columns = judge.columns("judge", before, before) if before else {}
    if before and "judge_after" not in columns:
        raise UserError("a benchmark's judge must give a number for each picture, as OutputJudge and ProbeJudge do")
    sides = [
        reached({"judge_after": float(value)}, "judge", case.beyond, case.threshold)
        for value in columns.get("judge_after", ())
    ]
    return [name for name, is_there in zip(pictures, sides, strict=True) if not is_there], broken


def _record(trial: Trial, method: str, image: EditedImage) -> Record:
    """What the benchmark keeps of an edit."""
    known, judge, case = image.record, trial.judge, trial.case
    is_finite = bool(torch.isfinite(image.after).all())
    record: Record = {
        "case": trial.name,
        "method": method,
        "image": image.name,
        "flipped": int(bool(is_finite and reached(known, judge, case.beyond, case.threshold))),
        "failed": int(not is_finite),
        "lambda": known["lambda"],
        "judged": known[f"{judge}_after"],
        "judged_shift": float(known[f"{judge}_after"]) - float(known[f"{judge}_before"]),
    }
    side_effects = {"age_shift": age_shift(known), "gender_flipped": gender_flipped(known)}
    wanted = {"age": "age_shift", "male": "gender_flipped"}.get(judge)
    record |= {name: float(value) for name, value in side_effects.items() if value is not None and name != wanted}
    record |= {name: known[name] for name in MEASURED if name in known}
    if method == "adversarial":
        record["attacked_flipped"] = int(bool(known["converged"]))
    return record


def _sheets(trial: Trial, found: Sequence[tuple[Cell, list[Record]]]) -> dict[str, Image.Image]:
    """The best and the worst edits of the first method, at the strength that flips about four of five."""
    own = [
        (cell, [row for row in rows if not row["failed"]])
        for cell, rows in found
        if rows[0]["method"] == trial.case.methods[0]
    ]
    cell, rows = min(own, key=lambda one: abs(np.mean([float(row["flipped"]) for row in one[1]]) - SHOWN_RATE))
    data = trial.editor.splits(task=None)
    sheets = {}
    for kind in ("best", "worst"):
        chosen = rank(rows, ON_A_SHEET, worst=kind == "worst")
        pairs = []
        for row in chosen:
            before = to_pixels(data.original(str(row["image"])))
            pairs.append((before, cell.picture(row)))
        title = f"{trial.name}, {row['method']}, lambda' {float(row['lambda']):g}: the {len(chosen)} {kind}"
        name = "-".join([kind, *trial.name.split()])
        sheets[name] = contact_sheet(pairs, [_caption(row) for row in chosen], title=title)
    return sheets


def _mean_budget(records: Sequence[Record]) -> float:
    return float(np.exp(np.mean([math.log(float(record["lambda"])) for record in records])))


def _caption(row: Record) -> str:
    identity = f", identity {float(row['identity']):.2f}" if "identity" in row else ""
    return f"{'flipped' if row['flipped'] else 'not flipped'} ({float(row.get('judged', math.nan)):.2f}){identity}"


def _machine() -> dict[str, str]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, GPU: {device}",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scikit-image")),
    }
