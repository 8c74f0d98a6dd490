"""Training detectors on pictures with boxes: `learning.train_detector`, `bundle.write_learnt`."""

from __future__ import annotations

from cnnkit.runtime import import_keras

import_keras()  # quietly: the modules here import it by themselves
