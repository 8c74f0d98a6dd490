"""Neural style transfer: images that keep their content and take on a style."""
