"""Training detectors on images with boxes: `learning.learn_boxes`."""

from __future__ import annotations

from cnnkit.runtime import import_keras

import_keras()  # quietly: the modules here import it by themselves
