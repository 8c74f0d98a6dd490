"""Square roots of a network's features, for a head that is trained on few images.

Of averages behind a ReLU most are small and a few are large; where there are few images of many
kinds, the large ones decide alone. The root brings them closer together: the transform of
Tukey's ladder of powers with the exponent 1/2, as in Yang, Liu, Xu, "Free Lunch for Few-shot
Learning: Distribution Calibration", ICLR 2021, https://arxiv.org/abs/2101.06395.
"""

from __future__ import annotations

# The builders that take `root_features`: none of their features is negative, and a dense layer
# stands on them.
ROOTING_BUILDERS = frozenset(f"efficientnet-lite{number}" for number in range(5))
# Keeps the slope of the root finite at 0, where many features are.
ROOT_OFFSET = 1e-3
