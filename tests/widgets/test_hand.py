"""Work that waits for the hand."""

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_unet.widgets._hand import RestTimer, is_down


def test_nothing_is_done_while_a_button_is_pressed(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    widget.show()
    done = []
    timer = RestTimer(5, lambda: done.append(is_down()))
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))
    timer.start()
    qtbot.wait(60)
    assert done == []
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))
    qtbot.waitUntil(lambda: bool(done))
    qtbot.wait(60)
    assert done == [False]
