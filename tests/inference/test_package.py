"""A model package is used only if every check passes, and says in a sentence which one did not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from medviewer.errors import BadInput, Refused
from medviewer.inference.card import card_text, parse_card
from medviewer.inference.golden import check_golden
from medviewer.inference.package import ModelPackage, check_weights, open_package, read_weights

Make = Callable[..., ModelPackage]


def restamp(folder: Path) -> None:
    """What a forger does: make the manifest fit the changed files."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    hashes = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names if n != "MANIFEST.json"}
    (folder / "MANIFEST.json").write_text(json.dumps({"format": 1, "sha256": hashes}))


def test_a_package_opens_and_its_golden_case_comes_out(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path, members=2)
    again = open_package(package.folder)
    check_weights(again)
    check_golden(again)
    assert again.id == hashlib.sha256((package.folder / "MANIFEST.json").read_bytes()).hexdigest()
    assert again.card.labels == ("near", "far") and len(again.weights) == 2
    assert again.card.weights["files"] == 2


def test_a_changed_weight_does_not_match_its_manifest(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    data = bytearray(package.weights[0].read_bytes())
    data[-1] ^= 1
    package.weights[0].write_bytes(data)
    with pytest.raises(Refused, match=r"weights-0\.safetensors does not match its manifest") as caught:
        open_package(package.folder)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('labels = ["near", "far"]', 'labels = ["near", "far", "third"]', "names 3 labels, its network draws 2"),
        ("files = 1", "files = 5", "says 5 files"),
    ],
)
def test_a_card_that_lies_about_its_shape_is_refused(
    make_package: Make, tmp_path: Path, old: str, new: str, words: str
) -> None:
    package = make_package(tmp_path)
    card = package.folder / "card.toml"
    text = card.read_text()
    assert old in text
    card.write_text(text.replace(old, new))
    restamp(package.folder)
    with pytest.raises(Refused, match=words):
        check_weights(open_package(package.folder))


def test_a_config_of_another_network_is_refused(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    config = json.loads((package.folder / "config.json").read_text())
    for channels, words in (([4, 16], "not those of the network"), ("many", "describes no unet3d")):
        config["network"]["channels"] = channels
        (package.folder / "config.json").write_text(json.dumps(config))
        restamp(package.folder)
        with pytest.raises(Refused, match=words):
            check_weights(open_package(package.folder))


def test_weights_that_are_not_finite_are_refused(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    arrays = load_file(package.weights[0])
    arrays["head.bias"][0] = np.nan
    save_file(arrays, package.weights[0])
    restamp(package.folder)
    opened = open_package(package.folder)
    check_weights(opened)
    with pytest.raises(Refused, match="not finite"):
        read_weights(opened, 0)


def test_other_weights_of_the_right_shape_fail_the_golden_case(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    arrays = load_file(package.weights[0])
    save_file({name: array * 1.01 for name, array in arrays.items()}, package.weights[0])
    restamp(package.folder)
    opened = open_package(package.folder)
    check_weights(opened)
    with pytest.raises(Refused, match="golden case"):
        check_golden(opened)


def test_a_golden_case_that_expects_nothing_is_refused(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    np.savez(package.folder / "golden" / "expected.npz")
    restamp(package.folder)
    with pytest.raises(Refused, match="proves nothing"):
        check_golden(open_package(package.folder))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "net.py", "weights.joblib"])
def test_files_that_can_carry_code_are_refused(make_package: Make, tmp_path: Path, name: str) -> None:
    package = make_package(tmp_path)
    (package.folder / name).write_bytes(b"x")
    with pytest.raises(Refused, match="can carry code"):
        open_package(package.folder)
    restamp(package.folder)
    with pytest.raises(Refused, match="can carry code"):
        open_package(package.folder)


def test_names_that_lead_outside_and_links_are_refused(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    manifest = json.loads((package.folder / "MANIFEST.json").read_text())
    manifest["sha256"]["../elsewhere.json"] = "0" * 64
    (package.folder / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(Refused, match="outside the model package"):
        open_package(package.folder)
    other = make_package(tmp_path / "b")
    (other.folder / "LICENSE").unlink()
    (other.folder / "LICENSE").symlink_to("/etc/hostname")
    with pytest.raises(Refused, match="link"):
        open_package(other.folder)


def test_a_header_that_lies_about_sizes_is_refused(make_package: Make, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    path = package.weights[0]
    whole = path.read_bytes()
    for broken in (whole[:-4], whole + b"1234", b"\xff" * 100, b"", b"\x80\x04K\x01."):
        path.write_bytes(broken)
        restamp(package.folder)
        with pytest.raises(Refused, match="safetensors header"):
            check_weights(open_package(package.folder))


def test_a_folder_without_a_package_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        open_package(tmp_path)


def test_a_package_is_never_written_twice(make_package: Make, tmp_path: Path) -> None:
    make_package(tmp_path)
    with pytest.raises(Refused, match="exists already"):
        make_package(tmp_path)
    assert not list(tmp_path.glob("*/.*"))


def test_card_text_and_back() -> None:
    facts = {
        "task": "a-b",
        "title": 'quotes " and \\ and\nlines, 海马',
        "version": "1",
        "kind": "volume-segment",
        "numbers": [1, 2.5, True],
        "input": {"modalities": ["MR"], "prompt": "required", "deep": {"x": "y z"}},
        "metrics": [{"name": "dice", "value": 0.9}],
    }
    card = parse_card(card_text(facts))
    assert dict(card.facts) == facts
    assert card.prompt == "required" and card.modalities == ("MR",)


@pytest.mark.parametrize("name", ["../x", "a/b", "A", "", ".hidden", "a..b"])
def test_names_of_tasks_are_names_of_folders(name: str) -> None:
    with pytest.raises(Refused):
        parse_card(card_text({"task": name, "title": "t", "version": "1", "kind": "k"}))
