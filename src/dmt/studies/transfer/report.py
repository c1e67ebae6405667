"""A store of trained networks -> the report of the transfer study: figures 2 and 3, table 1, every difference."""

import logging
from dataclasses import dataclass

import pandas as pd

from dmt.editing.records import Record
from dmt.reporting.plots import drawn, drawn_pdf
from dmt.reporting.results import Report
from dmt.studies.transfer.differences import above_chance, differences, dissimilar, unfit_bases
from dmt.studies.transfer.gains import RANGES, gains
from dmt.studies.transfer.original import original_runs
from dmt.studies.transfer.report_plots import figure_2, figure_3
from dmt.studies.transfer.rows import read_runs
from dmt.studies.transfer.treatments import TREATMENTS

log = logging.getLogger(__name__)
CONSEQUENCES = {
    "unconverged": "void: all that is compared with it or copied from it",
    "saturated": "void: the dip, co-adaptation, which a saturated base cannot show",
}


@dataclass(frozen=True)
class TransferReport:
    """The report of whatever a store holds; of several studies, each has figures and tables of its own.

    Args:
        store: the CSV file of trained networks; it is only read.
        reference: whether the differences of 2014 are drawn behind ours.
    """

    store: str
    reference: bool = True

    def __call__(self, trainer: object = None, editor: object = None, settings: object = None) -> Report:
        """Read the store and report it.

        Every study is called with these three; a report uses none of them.

        Args:
            trainer: makes Lightning's trainer.
            editor: makes an ``Editor``.
            settings: the resolved configuration as plain values.

        Raises:
            UserError: there is no store, or a row cannot be read.
        """
        runs = read_runs(self.store)
        reference = original_runs() if self.reference else None
        reports = {str(name): transfer_report(own, reference) for name, own in runs.groupby("study", sort=False)}
        if len(reports) == 1:
            return next(iter(reports.values()))
        parts = {
            part: {f"{study}_{name}": own for study, one in reports.items() for name, own in getattr(one, part).items()}
            for part in ("pictures", "tables", "documents")
        }
        return Report(f"transfer, {len(reports)} studies", [], parts["pictures"], parts["tables"], parts["documents"])


@dataclass(frozen=True)
class OriginalReport:
    """The same report of the runs that Yosinski et al. logged in 2014, by the accuracy that they report."""

    def __call__(self, trainer: object = None, editor: object = None, settings: object = None) -> Report:
        """Report the runs that come with the package; the arguments are those of ``TransferReport``."""
        runs = original_runs()
        return transfer_report(runs.assign(top1=runs["top1_best10"]), title="the runs of 2014")


def transfer_report(runs: pd.DataFrame, reference: pd.DataFrame | None = None, title: str = "transfer") -> Report:
    """Figures and tables of a study, whatever of it is finished.

    Args:
        runs: trained networks of one study, as ``rows.frame_of`` makes them.
        reference: runs whose differences are drawn behind them.
        title: of the report.

    Returns:
        Pictures ``figure_2`` and ``figure_3``, also as PDF; tables ``table_1``, ``differences``, ``dissimilar`` (those
        of dissimilar tasks minus those of similar ones), ``accuracies`` and, if there are any, ``unfit_bases``. Where
        numbers of classes differ, differences are told above chance as well.
    """
    table_1 = gains(runs)
    for gain in table_1.to_dict("records"):
        if gain["pairing"] == "unpaired" and gain["warning"] and gain["layers"] == "{}-{}".format(*RANGES[0]):
            log.warning(
                "table 1, %s, unpaired %+.2f, of which %+.2f is the ease of the targets: %s",
                gain["difference_of"], gain["gain"], gain["of_targets"], gain["warning"],
            )  # fmt: skip
    scales = {"points": runs}
    if runs["classes"].nunique() > 1:
        scales["% above chance"] = above_chance(runs)
    tables = {
        "accuracies": accuracies(runs),
        "differences": pd.concat([differences(scaled, scale=scale) for scale, scaled in scales.items()]),
        "dissimilar": pd.concat([dissimilar(scaled, scale) for scale, scaled in scales.items()]),
        "table_1": table_1,
        "unfit_bases": unfit_table(runs),
    }
    figures = {"figure_2": figure_2(runs, reference), "figure_3": figure_3(runs, reference)}
    return Report(
        title,
        [],
        pictures={name: drawn(figure) for name, figure in figures.items()},
        tables={name: _records(table) for name, table in tables.items() if len(table)},
        documents={f"{name}.pdf": drawn_pdf(figure) for name, figure in figures.items()},
    )


def accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per treatment, n and kind of split: mean accuracies and losses, not paired; for plots of one's own."""
    found = []
    order = runs["treatment"].map(list(TREATMENTS).index)
    for (split, images, _, n), there in runs.groupby(["split", "images_per_class", order, "n"]):
        first = there.iloc[0]
        row = {"split": split, "images": str(images or "all"), "treatment": first["treatment"]}
        row |= {"n": n, "layer": first["layer"], "networks": len(there)}
        means = there[["top1_last", "top1_best10", "train_loss", "val_loss"]].mean(skipna=False)
        found.append(row | means.to_dict() | {"top1_sd": there["top1_last"].std()})
    return pd.DataFrame(found)


def unfit_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Bases that did not converge or are saturated, and what that voids."""
    unfit = unfit_bases(runs)
    unfit = unfit.assign(
        base=unfit["treatment"] + " of " + unfit["target"],
        images=[str(images or "all") for images in unfit["images_per_class"]],
        consequence=unfit["status"].map(CONSEQUENCES),
    )
    columns = ["base", "split", "split_seed", "images", "status", "train_loss", "val_loss", "top1_last", "consequence"]
    return unfit[columns]


def _records(table: pd.DataFrame) -> list[Record]:
    """Rows for a report, to a thousandth of a point, which is finer than any test set tells, and without a -0."""
    return [
        {str(name): round(value, 3) + 0.0 if isinstance(value, float) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]
