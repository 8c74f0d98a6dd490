"""Training data: reading, splitting, examining, augmenting and loading labelled pictures."""

from cnnkit.data.dataset import Dataset, LabelledFile, read_dataset
from cnnkit.data.splits import SPLITS, Shares, assign_splits

__all__ = ["SPLITS", "Dataset", "LabelledFile", "Shares", "assign_splits", "read_dataset"]
