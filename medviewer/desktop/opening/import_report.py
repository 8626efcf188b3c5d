"""What became of every file that was opened: counts above, the files that are not shown by their reason below.

Read when somebody asks for it, never by itself: it can be copied as text and saved as a table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from medviewer.desktop.plain import tip
from medviewer.desktop.services import Services
from medviewer.desktop.theme import colour, tokens, ui_font
from medviewer.formats.catalog import Catalog
from medviewer.formats.dicom.text import one_line
from medviewer.formats.import_report import Group, as_csv, as_text, import_report
from medviewer.jobs import JobContext

#: Files of one reason that are listed in the window; text and table have all.
SHOWN = 2000


class ImportReportDialog(QDialog):
    """One report; another opens a new one.

    Attributes:
        catalog: what it is about.
    """

    def __init__(self, catalog: Catalog, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.catalog, self._services = catalog, services
        self.setWindowTitle("What was read")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(820, 520)
        report = import_report(catalog)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 12)
        column.setSpacing(8)
        self.summary = _label(report.summary, 12, bold=True)
        column.addWidget(self.summary)
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderLabels(["File", "Why it is not shown"])
        self.tree.setUniformRowHeights(True)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.setStyleSheet(
            f"QTreeWidget {{ background: {tokens().panel}; border: 1px solid {tokens().line}; border-radius: 6px; }}"
            "QTreeWidget::item { padding: 1px 0; }"
            f"QHeaderView::section {{ background: {tokens().raised}; color: {tokens().dim}; border: none;"
            " padding: 4px 8px; }"
        )
        header = self.tree.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.resizeSection(0, 330)
        if report.warnings:
            self._add_warnings(report.warnings)
        root = _common_folder([skip.path for skip in catalog.skipped])
        for group in report.groups:
            self.tree.addTopLevelItem(_group_item(group, root))
        for n in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(n)
            if item is not None:
                item.setExpanded(n == 0 or item.childCount() <= 6)
        nothing = _label("Every file is shown or listed as an object.", 10, tokens().dim)
        nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty = self.tree.topLevelItemCount() == 0
        self.tree.setVisible(not empty)
        nothing.setVisible(empty)
        column.addWidget(self.tree, 1)
        column.addWidget(nothing, 1)
        column.addLayout(self._buttons())

    def _add_warnings(self, warnings: Sequence[str]) -> None:
        heading = _heading("Warnings", len(warnings), "warn")
        self.tree.addTopLevelItem(heading)
        for warning in warnings:
            item = QTreeWidgetItem([warning[:1].upper() + warning[1:]])
            item.setToolTip(0, tip(warning))
            heading.addChild(item)
            item.setFirstColumnSpanned(True)

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        self.copy_button = QPushButton("Copy as text")
        self.copy_button.setToolTip("The whole report, file by file; file names may hold patients' names")
        self.copy_button.clicked.connect(self.copy)
        self.save_button = QPushButton("Save as table…")
        self.save_button.setToolTip("One row a file, for a spreadsheet (CSV)")
        self.save_button.clicked.connect(self._ask_and_save)
        close = QPushButton("Close")
        close.setDefault(True)
        close.clicked.connect(self.close)
        row.addWidget(self.copy_button)
        row.addWidget(self.save_button)
        row.addStretch(1)
        row.addWidget(close)
        return row

    def copy(self) -> None:
        """The whole report on the clipboard, as plain text."""
        QApplication.clipboard().setText(as_text(self.catalog))
        self._services.say("The report is on the clipboard.", "good")

    def _ask_and_save(self) -> None:
        dialog = QFileDialog(self, "Save the report", "", "Table (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.selectFile("what-was-read.csv")
        dialog.fileSelected.connect(lambda path: self.save(Path(path)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def save(self, path: Path) -> None:
        """Write the table; by a job, since the disk may be slow."""
        catalog, services = self.catalog, self._services

        def work(_: JobContext) -> None:
            from medviewer.formats.atomic import write_whole

            write_whole(path, as_csv(catalog).encode("utf-8-sig", "replace"))  # the mark tells Excel it is UTF-8

        services.jobs.start(
            "Saving the report",
            work,
            on_done=lambda _: services.say(f"Saved as {path.name}.", "good"),
            on_failed=lambda sentence: services.banner(sentence, "bad"),
        )


def _label(text: str, points: int, ink: str = "", *, bold: bool = False) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setFont(ui_font(points, bold=bold))
    label.setWordWrap(True)
    if ink:
        label.setStyleSheet(f"color: {ink};")
    return label


def _heading(text: str, count: int, ink: str) -> QTreeWidgetItem:
    heading = QTreeWidgetItem([f"{text}  ({count:,})", ""])
    heading.setFont(0, ui_font(9, bold=True))
    heading.setForeground(0, colour(ink))
    return heading


def _group_item(group: Group, root: Path) -> QTreeWidgetItem:
    heading = _heading(group.heading, len(group.files), "dim" if group.code == "duplicate-uid" else "text")
    for skip in group.files[:SHOWN]:
        short = skip.path.relative_to(root) if skip.path.is_relative_to(root) and skip.path != root else skip.path
        item = QTreeWidgetItem([one_line(str(short)), skip.reason])
        item.setToolTip(0, tip(one_line(str(skip.path))))
        item.setToolTip(1, tip(skip.reason))
        heading.addChild(item)
    if len(group.files) > SHOWN:
        heading.addChild(QTreeWidgetItem([f"and {len(group.files) - SHOWN:,} more", "all of them in text and table"]))
    return heading


def _common_folder(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all of them."""
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # none, or on several drives
        return Path()
