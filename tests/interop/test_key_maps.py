"""Every released name is either ours under another name or left aside; both sides are counted in full."""

from __future__ import annotations

import pytest
import released_keys as released

from dualdistill.config.run_spec import BEVDepthSpec, GridSpec, MVPSpec, TeacherSpec
from dualdistill.interop import key_maps
from dualdistill.interop.key_maps import STUDENT, STUDENT_ASIDE, TEACHER, beginning, our_name
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.models.centerpoint.teacher import Teacher

STUDENTS = {
    "student_r50": BEVDepthSpec(depth=50),
    "student_r101": BEVDepthSpec(depth=101),
    "student_r50_distillbev": BEVDepthSpec(depth=50),
    "tigbev_r50": BEVDepthSpec(depth=50, extra_norm=False),
}
TEACHERS = {"teacher_pillar": TeacherSpec(), "teacher_mvp": MVPSpec()}


def _renamed(network, names):
    entries = released.shapes(network).items()
    return {ours: entry for name, entry in entries if (ours := our_name(name, names))}


def _ours(module):
    return {name: (tuple(value.shape), value.dtype) for name, value in module.state_dict().items()}


@pytest.mark.parametrize("network", STUDENTS)
def test_every_name_of_a_released_student_is_mapped_or_left_aside(network):
    names = released.shapes(network)
    assert [n for n in names if not beginning(n, STUDENT) and not beginning(n, STUDENT_ASIDE)] == []
    assert _renamed(network, STUDENT) == _ours(BEVDepth(STUDENTS[network], GridSpec()))


@pytest.mark.parametrize("network", TEACHERS)
def test_every_name_of_a_released_teacher_is_mapped(network):
    assert all(beginning(name, TEACHER) for name in released.shapes(network))
    assert _renamed(network, TEACHER) == _ours(Teacher(TEACHERS[network], GridSpec()))


def test_no_two_released_names_become_one():
    for network in (*STUDENTS, *TEACHERS):
        names = [our_name(n, STUDENT if network in STUDENTS else TEACHER) for n in released.shapes(network)]
        kept = [name for name in names if name]
        assert len(kept) == len(set(kept)), network


def test_an_unknown_name_has_no_counterpart():
    assert key_maps.our_name("img_backbones.conv1.weight", STUDENT) is None
