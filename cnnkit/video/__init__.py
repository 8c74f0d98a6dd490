"""Frames of videos and animations, tracking of objects, and annotated clips."""

from cnnkit.video.finding import FrameFinder, frames, holds_video
from cnnkit.video.selecting import FrameSelection

__all__ = ["FrameFinder", "FrameSelection", "frames", "holds_video"]
