"""Makes the pictures of README and guide, and the README's table of figures, from the program itself.

    make pictures

Pictures show the phantom only. The table is read from `models/*/*/metrics.json`; nothing is typed in by hand.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
#: What README shows of each task: metric and words.
SHOWN = {
    "lung-nodule-segment": [
        ("dice", "3-D Dice with the readers' consensus, one click"),
        ("dice-readers", "the same with the single readers"),
        ("hd95", "95 % Hausdorff distance, mm"),
    ],
    "lung-nodule-malignancy": [
        ("auc", "AUC for a mean rating above 3 (3 left out)"),
        ("auc-size-only", "AUC of the diameter alone"),
        ("auc-gain", "gain over the diameter alone, paired"),
        ("ece", "calibration error (10 bins)"),
        ("ece-calibrated", "the same of a perfectly calibrated model of this n, 90th percentile"),
    ],
    "lung-nodule-similar": [("p@5", "of five similar cases, how many share the label")],
    "hippocampus-segment": [("dice-anterior", "Dice, anterior"), ("dice-posterior", "Dice, posterior")],
}


def figures() -> str:
    """The table of the shipped models' figures on the val split."""
    lines = ["| task | figure | value [95 %] | n |", "|---|---|---|---|"]
    for task, rows in SHOWN.items():
        for path in sorted((ROOT / "models" / task).glob("*/metrics.json")):
            metrics = json.loads(path.read_text(encoding="utf-8")).get("metrics", {})
            for name, words in rows:
                found = metrics.get(name)
                if found is None:
                    continue
                interval = ""
                if found.get("low") is not None:
                    interval = f" [{found['low']:.3f}, {found['high']:.3f}]"
                lines.append(f"| {task} | {words} | {found['value']:.3f}{interval} | {found.get('n', '')} |")
    return "\n".join(lines)


def update_readme() -> None:
    """Put the table between its marks."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    block = f"<!-- figures:begin -->\n{figures()}\n<!-- figures:end -->"
    path.write_text(re.sub(r"<!-- figures:begin -->.*<!-- figures:end -->", block, text, flags=re.S), encoding="utf-8")


def take_pictures() -> None:
    """The demo's screenshot is the README's picture."""
    shot = ROOT / "demo-out" / "screenshot.png"
    if not shot.is_file():
        raise SystemExit(f"{shot} is missing: run `make demo` first")
    PICTURES.mkdir(exist_ok=True)
    shutil.copyfile(shot, PICTURES / "window.png")


if __name__ == "__main__":
    update_readme()
    take_pictures()
