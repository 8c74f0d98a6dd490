"""Neural style transfer: pictures that keep their content and take on a style."""
