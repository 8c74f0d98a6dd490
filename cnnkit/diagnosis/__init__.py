"""What is wrong with a data set: of classes, or of boxes."""
