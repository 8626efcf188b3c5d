"""The line at the bottom: what is saved, what undo would undo, a sentence, jobs with cancel, the research notice."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QToolButton, QWidget

from medviewer.desktop.jobs import Job, Jobs
from medviewer.desktop.plain import tip
from medviewer.desktop.theme import STATUS_HEIGHT

#: How long a passing sentence stands, in ms: long enough to be read twice.
SENTENCE_MS = 8000

NOTICE = "Research use only. Not for diagnosis."


def divider(parent: QWidget | None = None) -> QFrame:
    """A hairline between groups of a bar."""
    line = QFrame(parent)
    line.setObjectName("divider")
    line.setFixedWidth(1)
    line.setFixedHeight(16)
    return line


def set_tone(widget: QWidget, tone: str) -> None:
    """Colour a label by its property `tone`."""
    widget.setProperty("tone", tone)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class StatusLine(QWidget):
    """28 px of state. Permanent fields are set by name, a sentence passes, jobs come and go."""

    def __init__(self, jobs: Jobs, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statusLine")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(STATUS_HEIGHT)
        self._jobs = jobs
        self._job: Job | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(10)
        self._fields = {"saved": QLabel(), "undo": QLabel()}
        for name, label in self._fields.items():
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setObjectName(f"status-{name}")
            label.hide()
            row.addWidget(label)
        self._sentence = QLabel()
        self._sentence.setTextFormat(Qt.TextFormat.PlainText)
        self._sentence.setObjectName("sentence")
        self._sentence.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row.addWidget(self._sentence, 1)
        self._job_text = QLabel()
        self._job_text.setTextFormat(Qt.TextFormat.PlainText)
        self._bar = QProgressBar()
        self._bar.setFixedWidth(72)
        self._bar.setTextVisible(False)
        self._cancel = QToolButton()
        self._cancel.setText("Cancel")
        self._cancel.setToolTip("Stop this work")
        self._cancel.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._cancel.clicked.connect(self._cancel_job)
        for widget in (self._job_text, self._bar, self._cancel):
            row.addWidget(widget)
            widget.hide()
        row.addWidget(divider())
        notice = QLabel(NOTICE)
        notice.setObjectName("notice")
        row.addWidget(notice)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(lambda: self._sentence.setText(""))
        jobs.changed.connect(self._show_jobs)

    def say(self, text: str, tone: str = "plain") -> None:
        """A sentence for some seconds."""
        self._sentence.setText(text)
        self._sentence.setToolTip(tip(text))
        set_tone(self._sentence, tone)
        self._timer.start(SENTENCE_MS)

    @property
    def sentence(self) -> str:
        """The sentence that stands there now."""
        return self._sentence.text()

    def set_field(self, name: str, text: str, tone: str = "plain") -> None:
        """A permanent field: "saved" or "undo"; other names are not of this line."""
        label = self._fields.get(name)
        if label is not None:
            label.setText(text)
            label.setVisible(bool(text))
            set_tone(label, tone)

    def _show_jobs(self) -> None:
        jobs = self._jobs.visible
        self._job = jobs[-1] if jobs else None
        shown = self._job is not None
        for widget in (self._job_text, self._bar, self._cancel):
            widget.setVisible(shown)
        if self._job is None:
            return
        progress = self._job.progress
        more = f"  (+{len(jobs) - 1})" if len(jobs) > 1 else ""
        text = progress.message or self._job.name
        if progress.fraction is None:
            self._bar.setRange(0, 0)
            self._job_text.setText(f"{text}{more}")
        else:
            self._bar.setRange(0, 100)
            self._bar.setValue(round(progress.fraction * 100))
            counted = f"{progress.done:,} of {progress.total:,}" if (progress.total or 0) > 1 else ""
            self._job_text.setText(f"{text}  {counted or f'{progress.fraction * 100:.0f} %'}{more}")
        self._cancel.setEnabled(not self._job.cancel_asked)

    def _cancel_job(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._cancel.setEnabled(False)
