"""Faces: finding, comparing and recognising people, and learning a similarity of faces."""
