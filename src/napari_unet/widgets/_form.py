"""Rows of a form, built from a config dataclass of the core: one definition, many uses."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from magicgui.widgets import ComboBox, FloatSlider, FloatSpinBox, create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.core.config import EvidenceKind, applies

_UNSET = "not set"
_LIMITS = "napari_unet_limits"
_OPTIONAL = "napari_unet_optional"
_WHOLE = "napari_unet_whole"
_NO_USE: dict[EvidenceKind, str] = {
    "maps": "of no use to this model: it tells what each pixel is, and finds a cell once",
    "candidates": "of no use to this model: it finds whole cells",
}
_WORDS = {True: "yes", False: "no", None: _UNSET}


class Form(QWidget):
    """A form for some fields of a frozen config dataclass.

    Parameters
    ----------
    config_type : dataclass type
        A config of `napari_unet.core.config`: label, unit, limits, choices and the reason for
        the default stand in the metadata of its fields.
    names : sequence of str, optional
        The fields to show, in this order; all that are marked `advanced` by default.
    sliders : sequence of str
        Those of them to show as a slider.
    rows : QFormLayout, optional
        Of a widget, to take the rows among others; by default they are in this one.

    Fields that are not shown keep the value of the config that was `set`.
    """

    changed = Signal(object)

    def __init__(
        self,
        config_type: type[Any],
        names: Sequence[str] | None = None,
        sliders: Sequence[str] = (),
        rows: QFormLayout | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent if rows is None else rows.parentWidget())
        fields = {field.name: field for field in dataclasses.fields(config_type)}
        if names is None:
            names = [name for name, field in fields.items() if field.metadata.get("advanced")]
        hints = get_type_hints(config_type)
        self._config = config_type()
        self._inputs: dict[str, ValueWidget[Any]] = {}
        if rows is None:
            rows = QFormLayout(self)
            tidy(rows)
        else:
            self.hide()
        for name in names:
            widget = _input(fields[name], hints[name], name in sliders)
            guard_wheel(widget.native)
            rows.addRow(fields[name].metadata["label"], widget.native)
            rows.labelForField(widget.native).setToolTip(widget.tooltip)
            self._inputs[name] = widget
        self.set(self._config)
        for widget in self._inputs.values():
            widget.changed.connect(self._announce)

    def value(self) -> Any:
        """The config with what the form says."""
        said = {name: _read(widget) for name, widget in self._inputs.items()}
        return dataclasses.replace(self._config, **said)

    def set(self, config: Any) -> None:
        """Show `config`, without a `changed`."""
        self._config = config
        for name, widget in self._inputs.items():
            with widget.changed.blocked():
                _write(widget, getattr(config, name))

    def show_use(self, evidence: EvidenceKind) -> None:
        """Grey out the fields that say nothing to a model that gives this kind of evidence."""
        for field in dataclasses.fields(self._config):
            if field.name in self._inputs:
                widget, used = self._inputs[field.name], applies(field, evidence)
                widget.enabled = used
                widget.tooltip = _tooltip(field) if used else _NO_USE[evidence]

    def input(self, name: str) -> ValueWidget[Any]:
        """The magicgui widget of one field."""
        return self._inputs[name]

    def _announce(self) -> None:
        self.changed.emit(self.value())


class Fold(QWidget):
    """A line that opens and closes what lies under it; closed content takes no keyboard focus."""

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._button = QToolButton()
        self._button.setText(title)
        self._button.setCheckable(True)
        self._button.setAutoRaise(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._button.setStyleSheet("QToolButton {border: none; text-align: left;}")
        self._content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        layout.addWidget(content)
        self._button.toggled.connect(self.set_open)
        self.set_open(False)

    @property
    def is_open(self) -> bool:
        return self._button.isChecked()

    def set_open(self, opened: bool) -> None:
        self._button.setChecked(opened)
        self._button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._content.setVisible(opened)


class _WheelGuard(QObject):
    """Turning the wheel scrolls the panel; it changes a number only where one has clicked."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


def guard_wheel(widget: QWidget) -> None:
    """Keep the mouse wheel from changing a spin box, combo or slider that has no focus."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_WheelGuard(widget))


def tidy(rows: QFormLayout) -> None:
    """Margins and growth that all forms of ours share."""
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setHorizontalSpacing(8)
    rows.setVerticalSpacing(4)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    rows.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


def scrolling(body: QWidget) -> QScrollArea:
    """`body` in a frame that scrolls up and down where the window is too low for it."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(body)
    return area


def _input(field: dataclasses.Field[Any], hint: Any, slider: bool) -> ValueWidget[Any]:
    """The magicgui widget of one field, with its tooltip and unit."""
    meta = field.metadata
    choices = meta.get("choices") or _literals(hint)
    if choices:
        named = [(_WORDS.get(choice, str(choice)), choice) for choice in choices]
        widget = create_widget(widget_type="ComboBox", options={"choices": named})
        widget.native.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
    elif _plain_type(hint) is bool:
        widget = create_widget(annotation=bool, options={"text": ""})
    elif slider:
        low, high = field.metadata["limits"]
        widget = FloatSlider(min=low, max=high)
    elif _plain_type(hint) in (int, float):
        widget = _number(field, hint)
    else:
        widget = create_widget(annotation=_plain_type(hint))
    widget.name = field.name
    widget.tooltip = _tooltip(field)
    return widget


def _number(field: dataclasses.Field[Any], hint: Any) -> ValueWidget[Any]:
    """A spin box; one without digits for int, as magicgui's for int can show no unit."""
    low, high = field.metadata.get("limits") or (0, 2**31 - 1)
    widget = FloatSpinBox(min=low, max=high)
    native = widget.native
    if _plain_type(hint) is int:
        native.setProperty(_WHOLE, True)
        native.setDecimals(0)
    native.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
    native.setKeyboardTracking(False)
    native.setProperty(_LIMITS, (low, high))
    if field.metadata.get("unit"):
        native.setSuffix(f" {field.metadata['unit']}")
    if _optional(hint):
        native.setSpecialValueText(_UNSET)
        native.setProperty(_OPTIONAL, True)
    return widget


def _tooltip(field: dataclasses.Field[Any]) -> str:
    unit = field.metadata.get("unit", "")
    default = _WORDS.get(field.default, field.default)
    if not isinstance(field.default, bool) and isinstance(field.default, float | int):
        default = f"{field.default:g}"
    return f"{default}{' ' + unit if unit else ''}: {field.metadata['why']}"


def _literals(hint: Any) -> tuple[Any, ...]:
    """The values a `Literal[…]` or `bool | Literal[…]` can take; empty for other types."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    if any(get_origin(part) is Literal for part in parts):
        return tuple(
            value
            for part in parts
            for value in ((True, False) if part is bool else _literals(part))
        )
    return ()


def _optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _plain_type(hint: Any) -> Any:
    """`int` of `int | None`."""
    parts = [part for part in get_args(hint) if part is not type(None)]
    return parts[0] if parts else hint


def _decimals(value: float) -> int:
    """Digits behind the point that show `value` in full, and one to turn."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return max(0, -int(exponent)) + 1


def _read(widget: ValueWidget[Any]) -> Any:
    value = widget.value
    if value == 0 and widget.native.property(_OPTIONAL):
        return None
    return int(value) if widget.native.property(_WHOLE) else value


def _write(widget: ValueWidget[Any], value: Any) -> None:
    limits = widget.native.property(_LIMITS)
    if isinstance(widget, ComboBox) and value not in widget.choices:
        # a model file may hold what the combo does not offer, such as weights per class
        named = [(_WORDS.get(choice, str(choice)), choice) for choice in widget.choices]
        widget.choices = [*named, (str(value), value)]
    elif limits and value is not None:
        low, high = limits
        if not widget.native.property(_WHOLE):
            digits = _decimals(value)
            widget.native.setDecimals(digits)
            if low > 0:  # the spin box rounds its limits to its digits: not to zero
                low = max(low, 10.0**-digits)
        widget.min, widget.max = min(low, value), max(high, value)
    widget.value = 0 if value is None else value
