"""What describes and teaches: arithmetic of layers, networks' layers, convolution, experiments."""
