"""Every config of the core must come through its form unharmed."""

from __future__ import annotations

import dataclasses

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QFormLayout, QVBoxLayout, QWidget

from napari_unet.core.config import (
    AugmentConfig,
    InstanceConfig,
    NormalizeConfig,
    PredictConfig,
    TrainConfig,
    WeightConfig,
)
from napari_unet.widgets._form import Fold, Form

CONFIGS = [
    TrainConfig,
    AugmentConfig,
    WeightConfig,
    NormalizeConfig,
    InstanceConfig,
    PredictConfig,
]


@pytest.mark.parametrize("kind", CONFIGS)
def test_form_of_all_fields_gives_the_defaults(qtbot, kind):
    names = [f.name for f in dataclasses.fields(kind) if "label" in f.metadata]
    form = Form(kind, names)
    qtbot.addWidget(form)
    assert form.value() == kind()


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_row_says_why(qtbot, kind):
    form = Form(kind)
    qtbot.addWidget(form)
    for field in dataclasses.fields(kind):
        if field.metadata.get("advanced"):
            assert field.metadata["why"] in form.input(field.name).native.toolTip()


def test_set_and_value_are_inverse_also_for_hidden_and_unusual_values(qtbot):
    config = TrainConfig(
        minutes=7.5,
        steps=30,
        learning_rate=3.3e-5,
        batch_size=9,
        weights=WeightConfig(class_weights=(0.1, 1.0)),
        augment=AugmentConfig(flip=False),
    )
    form = Form(TrainConfig)
    qtbot.addWidget(form)
    form.set(config)
    assert form.value() == config


def test_a_value_that_no_combo_offers_and_one_beyond_the_limits_are_kept(qtbot):
    form = Form(WeightConfig, ["class_weights", "ridge", "w0"])
    qtbot.addWidget(form)
    config = WeightConfig(class_weights=(0.1, 1.0), ridge="half", w0=250.0)
    form.set(config)
    assert form.value() == config


def test_the_smallest_learning_rate_is_not_zero(qtbot):
    form = Form(TrainConfig, ["learning_rate"])
    qtbot.addWidget(form)
    form.input("learning_rate").native.setValue(0.0)
    assert form.value().learning_rate > 0


def test_steps_can_be_set_and_unset(qtbot):
    form = Form(TrainConfig, ["steps"])
    qtbot.addWidget(form)
    assert form.value().steps is None
    form.input("steps").value = 12
    assert form.value().steps == 12
    assert isinstance(form.value().steps, int)


def test_changed_is_sent_by_the_person_and_not_by_set(qtbot):
    form = Form(InstanceConfig, ["threshold", "min_size"], sliders=["threshold"])
    qtbot.addWidget(form)
    seen = []
    form.changed.connect(seen.append)
    form.set(InstanceConfig(threshold=0.3, min_size=5))
    assert seen == []
    form.input("min_size").value = 7
    assert seen == [InstanceConfig(threshold=0.3, min_size=7)]


def test_units_are_shown(qtbot):
    form = Form(InstanceConfig, ["min_size"])
    qtbot.addWidget(form)
    assert form.input("min_size").native.text() == "20 px"


def test_the_wheel_scrolls_and_does_not_change_a_number(qtbot):
    form = Form(TrainConfig, ["batch_size", "optimizer"])
    qtbot.addWidget(form)
    form.show()
    for name in ("batch_size", "optimizer"):
        native = form.input(name).native
        native.clearFocus()
        middle = QPointF(native.rect().center())
        event = QWheelEvent(
            middle,
            native.mapToGlobal(middle),
            QPoint(),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(native, event)
    assert form.value() == TrainConfig()


def test_labels_are_not_cut_at_320_px(qtbot):
    host = QWidget()
    qtbot.addWidget(host)
    layout = QVBoxLayout(host)
    form = Form(TrainConfig)
    layout.addWidget(form)
    host.resize(320, 600)
    host.show()
    assert form.width() <= 320
    rows = form.layout()
    for row in range(rows.rowCount()):
        label = rows.itemAt(row, QFormLayout.ItemRole.LabelRole).widget()
        assert label.width() >= label.sizeHint().width(), label.text()


def test_fold_hides_its_content_from_eye_and_keyboard(qtbot):
    content = Form(AugmentConfig)
    fold = Fold("Advanced", content)
    qtbot.addWidget(fold)
    fold.show()
    assert not content.isVisible()
    fold.set_open(True)
    assert content.isVisible()
    assert fold.is_open
