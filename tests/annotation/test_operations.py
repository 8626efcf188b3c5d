"""Every operation is taken back exactly by its inverse, whatever came before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.annotation import codec
from medviewer.annotation.editor import Change, Editor
from medviewer.annotation.history import History
from medviewer.annotation.operations import (
    AcceptProposal,
    AddSegment,
    ChangeSegment,
    DeleteSegment,
    Operation,
    Paint,
    Together,
    accept_proposal,
    merged,
)
from medviewer.annotation.segmentation import Box, Provenance, Segment, Segmentation, colour_of
from medviewer.volume.grid import Grid

SIZE = (4, 7, 9)


def _state(segmentation: Segmentation) -> tuple[bytes, dict[int, Segment]]:
    return segmentation.labelmap.tobytes(), dict(segmentation.segments)


def _counts_are_right(segmentation: Segmentation) -> None:
    truth = np.bincount(segmentation.labelmap.ravel(), minlength=256)
    assert [segmentation.voxels(n) for n in range(256)] == truth.tolist()
    for number in segmentation.segments:
        drawn = segmentation.mask(number)
        if truth[number]:
            assert drawn is not None
            full = np.zeros(SIZE, dtype=bool)
            full[drawn[0].slices] = drawn[1]
            assert np.array_equal(full, segmentation.labelmap == number)
            assert drawn[1].any(axis=(1, 2))[[0, -1]].all()
        else:
            assert drawn is None


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    start = [draw(st.integers(0, n - 1)) for n in SIZE]
    stop = [draw(st.integers(a + 1, n)) for a, n in zip(start, SIZE, strict=True)]
    return Box(tuple(start), tuple(stop))


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[str, object]]:
    """A person's work: what to do, told without knowing what is there."""
    paint = st.tuples(
        boxes(),
        st.integers(0, 2**32 - 1),
        st.integers(0, 4),
        st.booleans(),
        st.none() | st.frozensets(st.integers(0, 4), max_size=3),
    )
    step = st.one_of(
        st.tuples(st.just("paint"), paint),
        st.tuples(st.just("add"), st.integers(1, 4)),
        st.tuples(st.just("delete"), st.integers(1, 4)),
        st.tuples(st.just("change"), st.integers(1, 4)),
        st.tuples(st.just("accept"), st.tuples(boxes(), st.integers(0, 2**32 - 1), st.integers(1, 4))),
        st.sampled_from([("undo", None), ("redo", None), ("begin", None), ("finish", None), ("abandon", None)]),
    )
    return draw(st.lists(step, max_size=25))


def operation_of(kind: str, what: object, segmentation: Segmentation) -> Operation | None:
    """The operation that a line of a script means here, or None if it means nothing."""
    there = segmentation.segments
    if kind == "paint":
        box, seed, number, mixed, over = what  # type: ignore[misc]
        random = np.random.default_rng(seed)
        mask = random.random(box.size_kji) < 0.6
        allowed = [0, *there]
        if mixed:
            return Paint.of_mask("mixed", box.start_kji, mask, random.choice(allowed, int(mask.sum())).astype(np.uint8))
        if number not in allowed:
            return None
        return Paint.of_mask("brush stroke", box.start_kji, mask, number, only_over=over)
    if kind == "accept":
        box, seed, number = what  # type: ignore[misc]
        mask = np.random.default_rng(seed).random(box.size_kji) < 0.5
        source = Provenance("task", "model", "1", "cpu")
        return accept_proposal(
            [(Segment.named(number, "nodule", provenance=source), box.start_kji, mask)], segmentation
        )
    if kind == "add" and what not in there:
        return AddSegment(Segment.named(int(what), f"Segment {what}"))  # type: ignore[call-overload]
    if kind == "delete" and what in there:
        return DeleteSegment(int(what))  # type: ignore[call-overload]
    if kind == "change" and what in there:
        return ChangeSegment(replace(there[what], label="another name"))  # type: ignore[index]
    return None


def play(script: list[tuple[str, object]], editor: Editor) -> None:
    for kind, what in script:
        if kind in ("undo", "redo", "finish", "abandon"):
            getattr(editor, kind)()
        elif kind == "begin":
            editor.begin("stroke")
        else:
            operation = operation_of(kind, what, editor.segmentation)
            if operation is not None:
                editor.do(operation)


@settings(max_examples=120, deadline=None)
@given(scripts())
def test_any_sequence_of_operations_is_taken_back_by_its_inverses(script: list[tuple[str, object]]) -> None:
    segmentation = Segmentation(Grid.plain(SIZE))
    states, inverses = [_state(segmentation)], []
    for kind, what in script:
        operation = operation_of(kind, what, segmentation)
        if operation is None:
            continue
        inverses.append(operation.apply(segmentation))
        _counts_are_right(segmentation)
        states.append(_state(segmentation))
    for inverse in reversed(inverses):
        assert _state(segmentation) == states.pop()
        after = _state(segmentation)
        again = inverse.apply(segmentation)
        back = again.apply(segmentation)
        assert _state(segmentation) == after  # redone
        back.apply(segmentation)  # and undone once more
        _counts_are_right(segmentation)
    assert _state(segmentation) == states.pop()


@settings(max_examples=120, deadline=None)
@given(scripts())
def test_undo_to_the_beginning_and_redo_to_the_end(script: list[tuple[str, object]]) -> None:
    segmentation = Segmentation(Grid.plain(SIZE))
    editor = Editor(segmentation)
    empty = _state(segmentation)
    play(script, editor)
    editor.finish()
    while editor.can_redo:
        editor.redo()
    end = _state(segmentation)
    steps = 0
    while editor.undo() is not None:
        steps += 1
    assert _state(segmentation) == empty
    for _ in range(steps):
        assert editor.redo() is not None
    assert _state(segmentation) == end
    _counts_are_right(segmentation)
    assert editor.history.nbytes == sum(s.operation.nbytes for s in editor.history.undo_steps)


@settings(max_examples=80, deadline=None)
@given(scripts())
def test_operations_survive_their_encoding(script: list[tuple[str, object]]) -> None:
    segmentation = Segmentation(Grid.plain(SIZE))
    for kind, what in script:
        operation = operation_of(kind, what, segmentation)
        if operation is not None:
            inverse = operation.apply(segmentation)
            for one in (operation, inverse, Together("both", (operation, inverse))):
                head, back, _ = codec.unpack(codec.pack({"kind": "do", "name": "肺结节"}, one))
                assert back == one
                assert head["name"] == "肺结节"


def _with_two_segments() -> Segmentation:
    segmentation = Segmentation(Grid.plain(SIZE))
    for number in (1, 2):
        AddSegment(Segment.named(number, f"Segment {number}")).apply(segmentation)
    return segmentation


def test_the_inverse_counts_only_what_really_changed() -> None:
    segmentation = _with_two_segments()
    mask = np.ones((1, 2, 3), dtype=bool)
    assert Paint.of_mask("brush stroke", (0, 0, 0), mask, 1).apply(segmentation).voxels == 6
    assert Paint.of_mask("brush stroke", (0, 0, 1), mask, 1).apply(segmentation).voxels == 2


def test_other_segments_can_be_protected() -> None:
    segmentation = _with_two_segments()
    Paint.of_mask("brush stroke", (0, 0, 0), np.ones((1, 1, 2), dtype=bool), 1).apply(segmentation)
    Paint.of_mask("brush stroke", (0, 0, 0), np.ones((1, 1, 4), dtype=bool), 2, only_over=(0,)).apply(segmentation)
    assert segmentation.labelmap[0, 0, :5].tolist() == [1, 1, 2, 2, 0]


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    segmentation = _with_two_segments()
    before = _state(segmentation)
    outside = Paint.of_mask("brush stroke", (3, 0, 0), np.ones((2, 1, 1), dtype=bool), 1)
    unknown = Paint.of_mask("brush stroke", (0, 0, 0), np.ones((1, 1, 1), dtype=bool), 9)
    inside = Paint.of_mask("brush stroke", (0, 0, 0), np.ones((1, 1, 1), dtype=bool), 1)
    for operation in (outside, unknown, AddSegment(Segment.named(1, "again")), DeleteSegment(7)):
        with pytest.raises(ValueError):
            operation.apply(segmentation)
        with pytest.raises(ValueError):
            Together("both", (inside, operation)).apply(segmentation)
        assert _state(segmentation) == before


def test_the_label_map_handed_out_cannot_be_written_to() -> None:
    with pytest.raises(ValueError):
        _with_two_segments().labelmap[0, 0, 0] = 1


def test_merged_operations_do_the_same_as_one_after_the_other() -> None:
    random = np.random.default_rng(3)
    paints = [
        Paint.of_mask("p", start, random.random((2, 3, 4)) < 0.5, int(random.integers(0, 3)))
        for start in ((0, 0, 0), (1, 2, 3), (2, 4, 5), (0, 1, 1))
    ]
    one, other = _with_two_segments(), _with_two_segments()
    for paint in paints:
        paint.apply(one)
    merged(paints, "all").apply(other)
    assert np.array_equal(one.labelmap, other.labelmap)


def test_a_segment_deleted_and_brought_back_has_its_voxels_name_and_tracking_uid() -> None:
    segmentation = _with_two_segments()
    Paint.of_mask("brush stroke", (1, 1, 1), np.ones((2, 2, 2), dtype=bool), 2).apply(segmentation)
    before = _state(segmentation)
    editor = Editor(segmentation)
    change = editor.do(DeleteSegment(2))
    assert change.segments and change.voxels == 8 and change.box == Box((1, 1, 1), (3, 3, 3))
    assert 2 not in segmentation.segments
    editor.undo()
    assert _state(segmentation) == before


def test_accepting_is_one_step_and_painting_over_it_makes_it_semiautomatic() -> None:
    segmentation = Segmentation(Grid.plain(SIZE))
    editor = Editor(segmentation)
    source = Provenance("lung-nodule-segment", "abc", "1.0", "cpu")
    mask = np.ones((3, 3, 3), dtype=bool)
    segment = Segment.named(1, "nodule", provenance=source)
    operation = accept_proposal([(segment, (-1, 0, 0), mask)], segmentation)
    assert isinstance(operation, AcceptProposal)
    assert editor.do(operation).voxels == 18  # the slice outside is cut off
    assert editor.undo_text == "Undo: accept proposal, 18 voxels"
    assert segmentation.segments[1].provenance.algorithm_type == "AUTOMATIC"
    editor.do(Paint.of_mask("eraser stroke", (0, 0, 0), np.ones((1, 1, 1), dtype=bool), 0))
    assert segmentation.segments[1].provenance.algorithm_type == "SEMIAUTOMATIC"
    editor.undo()
    assert segmentation.segments[1].provenance.algorithm_type == "AUTOMATIC"
    editor.undo()
    assert not segmentation.segments and segmentation.is_empty
    assert Segment.named(1, "by hand").provenance.algorithm_type == "MANUAL"


def test_listeners_hear_the_box_and_the_number_of_voxels() -> None:
    editor = Editor(_with_two_segments())
    heard: list[Change] = []
    stop = editor.on_change(heard.append)
    paint = Paint.of_mask("brush stroke", (1, 2, 3), np.ones((1, 2, 2), dtype=bool), 1)
    editor.do(paint)
    editor.do(paint)  # nothing new: nothing is told
    assert [(c.name, c.box, c.voxels) for c in heard] == [("brush stroke", Box((1, 2, 3), (2, 4, 5)), 4)]
    assert editor.segmentation.take_dirty() == Box((1, 2, 3), (2, 4, 5))
    assert editor.segmentation.take_dirty() is None
    stop()
    editor.undo()
    assert len(heard) == 1


def test_a_stroke_is_one_step_and_esc_takes_it_back() -> None:
    segmentation = _with_two_segments()
    editor = Editor(segmentation)
    dab = np.ones((1, 3, 3), dtype=bool)
    editor.begin("brush stroke")
    for column in range(4):
        editor.do(Paint.of_mask("brush stroke", (0, 0, column), dab, 1))
    editor.finish()
    assert editor.undo_text == "Undo: brush stroke, 18 voxels"
    editor.begin("eraser stroke")
    editor.do(Paint.of_mask("eraser stroke", (0, 0, 0), dab, 0))
    editor.abandon()
    assert segmentation.voxels(1) == 18
    assert len(editor.history.undo_steps) == 1
    editor.undo()
    assert segmentation.is_empty
    assert editor.redo_text == "Redo: brush stroke, 18 voxels"


def test_history_is_bounded_in_bytes_and_drops_the_oldest() -> None:
    segmentation = Segmentation(Grid.plain((1, 100, 100)))
    editor = Editor(segmentation, History(limit_bytes=20_000))
    editor.do(AddSegment(Segment.named(1, "nodule")))
    random = np.random.default_rng(0)
    for _ in range(100):
        editor.do(Paint.of_mask("brush stroke", (0, 0, 0), random.random((1, 100, 100)) < 0.5, int(random.integers(2))))
        assert editor.history.nbytes <= 20_000
    assert 1 < len(editor.history.undo_steps) < 30
    while editor.can_undo:
        editor.undo()
        assert editor.history.nbytes <= 20_000


def test_colours_begin_with_the_safe_ones_and_stay_apart() -> None:
    assert colour_of(1) == (0xE6, 0x9F, 0x00)
    colours = [colour_of(n) for n in range(1, 25)]
    assert len(set(colours)) == 24
    assert all(0 <= c <= 255 for colour in colours for c in colour)


def test_a_segmentation_made_of_a_label_map_names_what_has_no_name() -> None:
    labels = np.zeros(SIZE, dtype=np.int32)
    labels[1, 2, 3] = 5
    segmentation = Segmentation.from_labelmap(Grid.plain(SIZE), labels, [Segment.named(2, "empty")])
    assert {n: s.label for n, s in segmentation.segments.items()} == {2: "empty", 5: "Segment 5"}
    assert segmentation.box(5) == Box((1, 2, 3), (2, 3, 4))
    assert segmentation.number_at((1.4, 1.6, 3.2)) == 5
    assert segmentation.number_at((-1, 0, 0)) == 0
    assert segmentation.next_number() == 1
    assert segmentation.volume_ml(5) == pytest.approx(0.001)
    with pytest.raises(ValueError):
        Segmentation.from_labelmap(Grid.plain((1, 1, 1)), labels)
    with pytest.raises(ValueError):
        Segmentation.from_labelmap(Grid.plain(SIZE), labels - 1)
