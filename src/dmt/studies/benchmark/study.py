"""Cases and methods -> edits, made or found, and what they say: a page, tables, plots and contact sheets."""

import logging
import math
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import MinLen
from PIL import Image
from pytorch_lightning import Trainer

from dmt.data import EditData, ImageError, to_pixels
from dmt.editing.editor import Editor
from dmt.editing.files import save_picture
from dmt.editing.lambda_rules import LambdaRule
from dmt.editing.records import EditedImage, Record, unjudged
from dmt.errors import UserError, nearest_name
from dmt.judges import CoutJudge, Judge, OutputJudge, ProbeJudge
from dmt.judges.verdicts import age_shift, gender_flipped
from dmt.ranges import Lambda
from dmt.reporting.page import FILE
from dmt.reporting.results import Report
from dmt.storage import processes
from dmt.studies.benchmark.cases import PROBE, Case, Contender, Decision
from dmt.studies.benchmark.curves import curves_of
from dmt.studies.benchmark.measures import MEASURES
from dmt.studies.benchmark.page import write_page
from dmt.studies.benchmark.sheets import contact_sheet, rank
from dmt.studies.benchmark.stored import StoredEdits
from dmt.studies.benchmark.tables import headline_measures, markdown, tables_of
from dmt.traversal.walks import check_lambda

log = logging.getLogger(__name__)

MEASURED = (*MEASURES, "witness_before", "witness_after")  # the columns of an edit's record that are kept as they are
INDEPENDENT = {  # settings that change no edit
    *("output_dir", "progress", "logger", "output", "figure", "study", "lambda", "images", "n_images", "threads"),
    *("data_dir", "weights_dir", "cache_dir"),
}
SHOWN_RATE = 0.8  # contact sheets show the strength whose flip rate is nearest to this
ON_A_SHEET = 24


@dataclass(frozen=True)
class PreparedCase:
    """A case with its judges trained and its inputs looked at.

    Args:
        name: of the case.
        case: as it was asked for.
        editor: with the case's selection, judges and kept labels.
        inputs: the images that decode and that do not show the target before any edit.
        broken: those that do not decode.
        determined_by: what its edits depend on beside method and strength.
    """

    name: str
    case: Case
    _: KW_ONLY
    editor: Editor
    inputs: Sequence[str]
    broken: Sequence[str]
    determined_by: Mapping[str, Any]


@dataclass(frozen=True)
class BenchmarkStudy:
    """Edits all cases by all methods at all strengths and compares the methods at equal flip rates.

    What was edited is kept below a folder and found again, so that whoever is interrupted goes on where he was.

    Args:
        title: of the page.
        folder: of the edits and the page.
        cases: name, with underscores for spaces -> case.
        methods: name -> method, and what makes its edits stronger.
        lambdas: lambda' from weak to strong; infinity gives the reconstruction floor.
        levels: of the methods whose lambda' a rule chooses, from weak to strong. Such an edit's place among the others
            is the geometric mean of the lambdas chosen.
        judges: name -> makes the judge of a task. ``probe`` is made for the cases whose decision is its own, the
            others for every case.
        only: names of the cases that are run; empty: all.

    Raises:
        UserError: an unknown name, no lambda, or one that is no number above 0.
    """

    title: str
    folder: str
    _: KW_ONLY
    cases: Mapping[str, Case]
    methods: Mapping[str, Contender]
    lambdas: Annotated[Sequence[Lambda], MinLen(1)]
    levels: Sequence[float] = (1.0,)
    judges: Mapping[str, Callable[..., Judge]] = field(default_factory=dict)
    only: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.lambdas:
            raise UserError("lambdas must be a list of numbers above 0, such as [0.3,0.15], got an empty one")
        for lam in self.lambdas:
            check_lambda(lam)
        for name in self.only:
            if name not in self.cases:
                raise UserError(f"the benchmark has no case {name!r}{nearest_name(name, self.cases)}")
        for method in (method for case in self.cases.values() for method in case.methods):
            if method not in self.methods:
                raise UserError(f"the benchmark has no method {method!r}{nearest_name(method, self.methods)}")

    def __call__(
        self, trainer: Callable[..., Trainer], editor: Callable[[], Editor], settings: Mapping[str, Any]
    ) -> Report:
        """Make what is missing and report.

        Args:
            trainer: not used; the editor has its own.
            editor: makes the editor.
            settings: the whole configuration, as plain values: edits are found again under the same settings only.

        Raises:
            UserError: there are several processes, or no case can be judged.
        """
        if processes.count() > 1:
            raise UserError("a benchmark keeps its edits as it goes, by one process; leave trainer.devices=1")
        base = editor()
        records: list[Record] = []
        sheets: dict[str, Image.Image] = {}
        skipped: dict[str, str] = {}
        for key in self.only or self.cases:
            name = key.replace("_", " ")
            try:
                prepared = self._prepared(name, self.cases[key], base, settings)
            except UserError as error:
                log.warning("benchmark: %s is left out: %s", name, error)
                skipped[f"left out: {name}"] = str(error)
                continue
            found = list(self._edits(prepared))
            records += [record for _, own in found for record in own]
            sheets |= _sheets(prepared, found)
        if not records:
            raise UserError("no case of the benchmark could be judged: " + "; ".join(skipped.values()))
        return self._report(records, sheets, skipped)

    def _prepared(self, name: str, case: Case, editor: Editor, settings: Mapping[str, Any]) -> PreparedCase:
        decision = case.decision
        made = {key: make for key, make in self.judges.items() if key != PROBE or decision.judge == PROBE}
        judges = {**editor.judges, **{key: make(task=case.task) for key, make in made.items()}}
        if decision.judge not in judges:
            raise UserError(
                f"{name} has no judge {decision.judge!r}{nearest_name(decision.judge, judges)}; add it to judges"
            )
        judge = judges[decision.judge]
        if isinstance(judge, OutputJudge | ProbeJudge) and decision.threshold == 0.5:
            judges["cout"] = CoutJudge(judge, decision.beyond)
        comparison = replace(editor.comparison, selection=case.selection, keep=case.keep)
        editor = replace(editor, comparison=comparison, judges=judges)
        names = list(case.images)[: case.most]
        inputs, broken = _open_inputs(editor.data(task=None), names, judge, decision)
        log.info(
            "benchmark: %s: %d of %d inputs are not on the target's side yet%s",
            name,
            len(inputs),
            len(names),
            f"; {len(broken)} do not decode" if broken else "",
        )
        if not inputs:
            raise UserError(f"the judge {decision.judge!r} sees every input of {name} on the target's side")
        determined_by = {
            "version": version("dmt"),
            "settings": {key: value for key, value in settings.items() if key not in INDEPENDENT} | {"keep": case.keep},
            "inputs": inputs,
            "decision": repr(decision),
        }
        return PreparedCase(name, case, editor=editor, inputs=inputs, broken=broken, determined_by=determined_by)

    def _edits(self, prepared: PreparedCase) -> Iterator[tuple[StoredEdits, list[Record]]]:
        """The edits of a case by all methods, from weak to strong, with their records and those of broken inputs."""
        for method in prepared.case.methods:
            contender = self.methods[method]
            what = repr((prepared.case.task, prepared.case.selection, contender.method, contender.rule))
            seen: set[float] = set()
            for strength, rule in contender.strengths(self.lambdas, self.levels).items():
                stored = StoredEdits.of(
                    Path(self.folder) / "cells",
                    prepared.name,
                    method=method,
                    strength=strength,
                    determined_by={**prepared.determined_by, "what": what},
                )
                if not stored.are_done:
                    self._make(stored, prepared, method, rule)
                records = stored.records()
                lam = strength if contender.rule is None else _mean_lambda(records)
                if lam in seen:
                    continue  # a stronger level that changed nothing
                seen.add(lam)
                lost: list[Record] = [
                    {"case": prepared.name, "method": method, "lambda": lam, "image": image, "flipped": 0, "failed": 1}
                    for image in prepared.broken
                ]
                yield stored, [{**record, "lambda": lam} for record in records] + lost

    def _make(self, stored: StoredEdits, prepared: PreparedCase, method: str, rule: LambdaRule) -> None:
        log.info("benchmark: %s, %s, %s", prepared.name, method, rule.title)
        editor = replace(prepared.editor, method=self.methods[method].method, rule=rule)
        edit = editor.edit(prepared.case.task, prepared.inputs)
        if failed := unjudged(edit.images):
            raise UserError(f"{prepared.name}, {method}, {rule.title} is not kept, for judges failed: {failed[0]}")
        stored.write(edit.images, [_record(prepared, method, image) for image in edit.images])

    def _report(
        self, records: Sequence[Record], sheets: Mapping[str, Image.Image], skipped: Mapping[str, str]
    ) -> Report:
        folder, curves = Path(self.folder), curves_of(records)
        tables: dict[str, Sequence[Record]] = {**tables_of(curves)}
        for name, sheet in sheets.items():
            save_picture(folder / f"{name}.png", sheet)
        drawn = write_page(
            folder,
            curves,
            tables=tables,
            title=self.title,
            date=date.today().isoformat(),
            measured={**_machine(), **skipped},
            sheets={f"{name}.png": name.replace("-", " ") for name in sheets},
        )
        log.info("\n%s\n%s", self.title, markdown(tables["headline"], headline_measures(curves)))
        log.info("the page: %s", folder / FILE)
        plots = {Path(name).stem: Image.open(folder / name).convert("RGB") for name in drawn}
        return Report(self.title, [], {**plots, **sheets}, {**tables, "edits": records})


def _open_inputs(data: EditData, names: Sequence[str], judge: Judge, decision: Decision) -> tuple[list[str], list[str]]:
    """The inputs that are still to be edited, and those that do not decode."""
    pictures, broken = {}, []
    for name in names:
        try:
            pictures[name] = data.original(name)
        except ImageError:
            broken.append(name)
    before = list(pictures.values())
    column = f"{decision.judge}_after"
    columns = judge.columns(decision.judge, before, before) if before else {column: np.zeros(0)}
    if column not in columns:
        raise UserError("a benchmark's judge must give a number for each picture, as OutputJudge and ProbeJudge do")
    there = [decision({column: float(value)}) for value in columns[column]]
    return [name for name, is_there in zip(pictures, there, strict=True) if not is_there], broken


def _record(prepared: PreparedCase, method: str, image: EditedImage) -> Record:
    """What the benchmark keeps of an edit."""
    known, decision = image.record, prepared.case.decision
    is_finite = bool(torch.isfinite(image.result).all())
    before, after = (float(known[f"{decision.judge}_{when}"]) for when in ("before", "after"))
    record: Record = {
        "case": prepared.name,
        "method": method,
        "image": image.name,
        "flipped": int(is_finite and decision(known)),
        "failed": int(not is_finite),
        "lambda": known["lambda"],
        "judged": after,
        "judged_shift": after - before,
    }
    side_effects = {"age_shift": age_shift(known), "gender_flipped": gender_flipped(known)}
    wanted = {"age": "age_shift", "male": "gender_flipped"}.get(decision.judge)
    record |= {name: float(value) for name, value in side_effects.items() if value is not None and name != wanted}
    record |= {name: known[name] for name in MEASURED if name in known}
    if method == "adversarial":
        record["attacked_flipped"] = int(bool(known["converged"]))
    return record


def _sheets(prepared: PreparedCase, found: Sequence[tuple[StoredEdits, list[Record]]]) -> dict[str, Image.Image]:
    """The best and the worst edits of the first method, at the strength that flips about four of five."""
    own = [
        (stored, [row for row in rows if not row["failed"]])
        for stored, rows in found
        if rows[0]["method"] == prepared.case.methods[0]
    ]
    stored, rows = min(own, key=lambda one: abs(np.mean([float(row["flipped"]) for row in one[1]]) - SHOWN_RATE))
    data = prepared.editor.data(task=None)
    sheets = {}
    for kind in ("best", "worst"):
        chosen = rank(rows, ON_A_SHEET, worst=kind == "worst")
        pairs = [(to_pixels(data.original(str(row["image"]))), stored.picture(row)) for row in chosen]
        title = f"{prepared.name}, {rows[0]['method']}, lambda' {float(rows[0]['lambda']):g}: the {len(chosen)} {kind}"
        name = "-".join([kind, *prepared.name.split()])
        sheets[name] = contact_sheet(pairs, [_caption(row) for row in chosen], title=title)
    return sheets


def _mean_lambda(records: Sequence[Record]) -> float:
    """The geometric mean."""
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
