"""Where a picture lies in a view: zoom and pan as one value, with the way from picture to screen and back. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Screen pixels for one picture pixel: the limits of zooming.
MIN_ZOOM, MAX_ZOOM = 0.02, 60.0

#: A picture that fills less than this share of the view is a strip, and grows by this much at most (`filled`).
STRIP, STRIP_GROWS = 0.4, 2.5


@dataclass(frozen=True, slots=True)
class Placing:
    """Zoom and pan of one view.

    Picture positions are (row, column) with voxel centres at integers, so pixel `n` covers `n - 0.5 .. n + 0.5`. Screen
    positions are (x, y) in logical pixels of the view.

    Attributes:
        rows, columns: size of the picture.
        row_mm, column_mm: size of a picture pixel downwards and to the right.
        width, height: size of the view.
        scale: screen pixels for a millimetre.
        middle_x_mm, middle_y_mm: which point of the picture lies in the middle of the view, from its top left corner.
    """

    rows: int
    columns: int
    row_mm: float
    column_mm: float
    width: float
    height: float
    scale: float
    middle_x_mm: float
    middle_y_mm: float

    @classmethod
    def fitted(cls, picture: tuple[int, int], pixel_mm: tuple[float, float], view: tuple[float, float]) -> Placing:
        """The whole picture, as large as it fits, in the middle."""
        (rows, columns), (row_mm, column_mm), (width, height) = picture, pixel_mm, view
        scale = min(width / (columns * column_mm), height / (rows * row_mm))
        middle = columns * column_mm / 2, rows * row_mm / 2
        return cls(rows, columns, row_mm, column_mm, width, height, max(scale, 1e-6), *middle)

    @classmethod
    def filled(
        cls, picture: tuple[int, int], pixel_mm: tuple[float, float], view: tuple[float, float], at: tuple[float, float]
    ) -> Placing:
        """As fitted; but a picture that would be a thin strip is enlarged, with (row, column) `at` kept in sight.

        A strip leaves more than `1 - STRIP` of the view empty one way; it grows until it fills `STRIP` of it, at
        most by `STRIP_GROWS`.
        """
        fit = cls.fitted(picture, pixel_mm, view)
        used = min(fit.columns * fit.column_mm * fit.scale / fit.width, fit.rows * fit.row_mm * fit.scale / fit.height)
        if used >= STRIP:
            return fit
        scale = fit.scale * min(STRIP_GROWS, STRIP / max(used, 1e-6))

        def middle(place_mm: float, length_mm: float, shown_mm: float) -> float:
            if shown_mm >= length_mm:
                return length_mm / 2
            return min(max(place_mm, shown_mm / 2), length_mm - shown_mm / 2)

        x = middle((at[1] + 0.5) * fit.column_mm, fit.columns * fit.column_mm, fit.width / scale)
        y = middle((at[0] + 0.5) * fit.row_mm, fit.rows * fit.row_mm, fit.height / scale)
        return replace(fit, scale=scale, middle_x_mm=x, middle_y_mm=y)

    @property
    def zoom(self) -> float:
        """Screen pixels for one picture pixel, along a row."""
        return self.scale * self.column_mm

    def to_screen(self, row: float, column: float) -> tuple[float, float]:
        """Screen position of a picture position."""
        x = ((column + 0.5) * self.column_mm - self.middle_x_mm) * self.scale + self.width / 2
        y = ((row + 0.5) * self.row_mm - self.middle_y_mm) * self.scale + self.height / 2
        return x, y

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Picture position (row, column) of a screen position."""
        column = ((x - self.width / 2) / self.scale + self.middle_x_mm) / self.column_mm - 0.5
        row = ((y - self.height / 2) / self.scale + self.middle_y_mm) / self.row_mm - 0.5
        return row, column

    def rectangle(self) -> tuple[float, float, float, float]:
        """Left, top, width, height of the whole picture on the screen."""
        left, top = self.to_screen(-0.5, -0.5)
        return left, top, self.columns * self.column_mm * self.scale, self.rows * self.row_mm * self.scale

    def panned(self, dx: float, dy: float) -> Placing:
        """Moved by screen pixels; the middle of the view stays on the picture."""
        x = min(max(self.middle_x_mm - dx / self.scale, 0.0), self.columns * self.column_mm)
        y = min(max(self.middle_y_mm - dy / self.scale, 0.0), self.rows * self.row_mm)
        return replace(self, middle_x_mm=x, middle_y_mm=y)

    def zoomed(self, factor: float, x: float, y: float) -> Placing:
        """Enlarged about a screen position, which keeps showing the same point of the picture."""
        wanted = min(max(self.zoom * factor, MIN_ZOOM), MAX_ZOOM)
        factor = wanted / self.zoom
        scale = self.scale * factor
        dx, dy = x - self.width / 2, y - self.height / 2
        middle_x = self.middle_x_mm + dx / self.scale - dx / scale
        middle_y = self.middle_y_mm + dy / self.scale - dy / scale
        return replace(self, scale=scale, middle_x_mm=middle_x, middle_y_mm=middle_y)

    def resized(self, width: float, height: float) -> Placing:
        """The same zoom and middle in a view of another size."""
        return replace(self, width=width, height=height)
