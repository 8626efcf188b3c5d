"""The check-first card: the slices in which the model is least sure, as one-click jumps."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from medviewer.desktop.panels.parts import Card, button, label, row

#: More chips than this do not fit on one line of the card.
MOST = 6


class CheckFirstCard(Card):
    """Chips with slice numbers, worst first; a click jumps there."""

    slice_asked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Check first", parent)
        self._sentence = label("", "dim", wrap=True)
        self.add(self._sentence)
        self._chips = [button("", "chip") for _ in range(MOST)]
        self._slices: list[int] = []
        for n, chip in enumerate(self._chips):
            chip.clicked.connect(lambda _checked=False, n=n: self.slice_asked.emit(self._slices[n]))
        self._line = QWidget()
        self._line.setLayout(row(*self._chips, None))
        self.add(self._line)
        self.show_empty()

    def show_empty(self) -> None:
        """Nothing was suggested yet."""
        self._say("", "Slices in which readers would disagree about the outline.")

    def show_loading(self) -> None:
        """Being computed: a line of the final height."""
        self._say("looking", "")
        self._line.setVisible(True)
        for n, chip in enumerate(self._chips):
            chip.setVisible(n == 0)
            chip.setText("…")
            chip.setEnabled(False)

    def show_slices(self, slices_k: tuple[int, ...]) -> None:
        """Show slices (index k, counted from 0; people see them counted from 1), worst first."""
        self._slices = list(slices_k[:MOST])
        if not self._slices:
            self._say("", "No slice stands out: readers would agree about this outline.")
            return
        self.set_note("readers would disagree most")
        self._sentence.setVisible(False)
        self._line.setVisible(True)
        for n, chip in enumerate(self._chips):
            chip.setVisible(n < len(self._slices))
            if n < len(self._slices):
                chip.setEnabled(True)
                chip.setText(str(self._slices[n] + 1))
                chip.setToolTip(f"Go to slice {self._slices[n] + 1}")
                chip.setAccessibleName(f"Go to slice {self._slices[n] + 1}")

    def _say(self, note: str, sentence: str) -> None:
        self.set_note(note)
        self._sentence.setText(sentence)
        self._sentence.setVisible(bool(sentence))
        self._line.setVisible(False)
