"""Training data: reading, splitting, examining, augmenting and loading labeled images."""

from cnnkit.data.dataset import Dataset, LabeledFile, read_dataset
from cnnkit.data.splits import SPLITS, Shares, assign_splits

__all__ = ["SPLITS", "Dataset", "LabeledFile", "Shares", "assign_splits", "read_dataset"]
