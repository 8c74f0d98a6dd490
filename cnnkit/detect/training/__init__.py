"""Training detectors on pictures with boxes."""
