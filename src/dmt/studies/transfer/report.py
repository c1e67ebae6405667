"""A store of trained networks -> the report of the transfer study: figures 2 and 3, table 1, every difference."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from dmt.editing.records import Record
from dmt.reporting.plots import drawn, drawn_pdf
from dmt.reporting.results import Report
from dmt.studies.transfer.gains import RANGES, gains
from dmt.studies.transfer.original import original_runs
from dmt.studies.transfer.report_plots import figure_2, figure_3
from dmt.studies.transfer.report_tables import accuracy_table, distance_table, effect_table, gain_table, unfit_table
from dmt.studies.transfer.rows import Run, read_runs
from dmt.studies.transfer.statistics import Measure, above_chance, best10, distances, effects, last

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransferReport:
    """The report of whatever a store holds; of several studies, each has figures and tables of its own.

    Args:
        store: the CSV file of trained networks; it is only read.
        reference: draw the differences of 2014 behind ours.
    """

    store: str
    reference: bool = True

    def __call__(self, trainer: object = None, editor: object = None) -> Report:
        """Read the store and report; the trainer and the editor that every study is given rest.

        Raises:
            UserError: a row cannot be read.
        """
        runs = read_runs(self.store)
        reference = original_runs() if self.reference else []
        studies = list(dict.fromkeys(run.study for run in runs))
        reports = {study: transfer_report([run for run in runs if run.study == study], reference) for study in studies}
        if len(reports) == 1:
            return reports[studies[0]]
        return Report(
            f"transfer, {len(studies)} studies",
            [],
            {f"{study}_{name}": picture for study, one in reports.items() for name, picture in one.pictures.items()},
            {f"{study}_{name}": rows for study, one in reports.items() for name, rows in one.tables.items()},
            {f"{study}_{name}": file for study, one in reports.items() for name, file in one.documents.items()},
        )


@dataclass(frozen=True)
class OriginalReport:
    """The same report of the runs that Yosinski et al. logged in 2014, by the accuracy that they report."""

    def __call__(self, trainer: object = None, editor: object = None) -> Report:
        """Report the runs that come with the package; trainer and editor rest."""
        return transfer_report(original_runs(), measure=best10, title="the runs of 2014")


def transfer_report(
    runs: Sequence[Run], reference: Sequence[Run] = (), measure: Measure = last, title: str = "transfer"
) -> Report:
    """Figures and tables of the study, whatever of it is finished.

    Args:
        runs: trained networks.
        reference: runs drawn behind them.
        measure: of a run, percent.
        title: of the report.

    Returns:
        Pictures ``figure_2`` and ``figure_3``, also as PDF; tables ``table_1``, ``differences``, ``dissimilar`` (those
        of dissimilar tasks minus those of similar ones), ``accuracies`` and, if there are any, ``unfit_bases``. Where
        numbers of classes differ, differences are told above chance as well.
    """
    table_1 = gains(runs, measure=measure)
    for gain in table_1:
        if gain.pairing == "unpaired" and gain.warning and gain.layers == RANGES[0]:
            log.warning(
                "table 1, %s, unpaired %+.2f, of which %+.2f is the ease of the targets: %s",
                gain.contrast.formula,
                gain.value,
                gain.of_targets,
                gain.warning,
            )
    scales = {"points": measure}
    if len({run.classes for run in runs}) > 1:
        scales["% above chance"] = above_chance(measure)
    tables: dict[str, list[Record]] = {
        "accuracies": accuracy_table(runs),
        "differences": [
            row for name, scale in scales.items() for row in effect_table(effects(runs, measure=scale), name)
        ],
        "dissimilar": [
            row for name, scale in scales.items() for row in distance_table(distances(runs, measure=scale), name)
        ],
        "table_1": gain_table(table_1),
        "unfit_bases": unfit_table(runs),
    }
    figures = {"figure_2": figure_2(runs, reference, measure), "figure_3": figure_3(runs, reference, measure)}
    return Report(
        title,
        [],
        {name: drawn(figure) for name, figure in figures.items()},
        {name: rows for name, rows in tables.items() if rows},
        {f"{name}.pdf": drawn_pdf(figure) for name, figure in figures.items()},
    )
