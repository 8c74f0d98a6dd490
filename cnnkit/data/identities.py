"""Batches of P people with K photos each, and splits that keep every person on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from cnnkit.data.augment import Augmenter
from cnnkit.data.loaders import LoadableImages, Loader
from cnnkit.data.splits import TEST, TRAIN, VALIDATION, Shares
from cnnkit.errors import UsageError, broken_rule

# Photos that a person needs to form a pair.
LEAST_PHOTOS = 2
# People that a split needs to form pairs of different people.
LEAST_PEOPLE = 2


def identity_split(
    labels: np.ndarray, names: Sequence[str], shares: Shares, seed: int = 0
) -> np.ndarray:
    """Return a split for each image, the same for all images of a person.

    It depends only on the seed and the people's names.

    Args:
        labels: The person of each image, int (images,).
        names: Names of the people.
        shares: Shares of the people, not of the images.
        seed: Random seed for the split.

    Returns:
        int8 (images,): 0 train, 1 validation, 2 test.

    Raises:
        UsageError: There are too few people with two photos.
    """
    counts = np.bincount(labels, minlength=len(names))
    able = [n for n in range(len(names)) if counts[n] >= LEAST_PHOTOS]
    parts = 3 if shares.test else 2
    if len(able) < LEAST_PEOPLE * parts:
        rule = f"hold at least {LEAST_PEOPLE * parts} people with {LEAST_PHOTOS} photos each"
        fix = "Add people, or use `split_by='pictures'`, which says nothing about new people."
        raise UsageError(broken_rule("`data`", rule, f"{len(able)} of {len(names)}", fix))
    able.sort(key=lambda n: hashlib.sha256(f"{seed}\0{names[n]}".encode()).digest())
    sizes = {
        split: share for split, share in ((TEST, shares.test), (VALIDATION, shares.validation))
    }
    split_of = np.full(len(names), TRAIN, np.int8)
    left = len(able)
    start = 0
    for split, share in sizes.items():
        if share:
            others = LEAST_PEOPLE * (2 if split == TEST else 1)
            size = min(max(LEAST_PEOPLE, round(share * len(able))), left - others)
            split_of[able[start : start + size]] = split
            start += size
            left -= size
    return split_of[labels]


class IdentityLoader(Loader):
    """Batches of P people with K photos each, redrawn in each epoch of training.

    Each person's photos are shuffled and divided into groups of K, the last one filled up with
    photos of the same person. A batch takes one group from each of P people, those with most
    groups left first, so that an epoch shows each photo about once. People with a single photo
    are left out. In validation the batches are drawn in the same way, but only once.
    """

    def __init__(
        self,
        images: LoadableImages,
        batch_size: int,
        *,
        photos_each: int,
        training: bool,
        augmenter: Augmenter | None = None,
        seed: int = 0,
        workers: int | None = None,
        multiple: int = 1,
    ) -> None:
        """Plan the batches.

        Args:
            images: The decoded images, labeled by person.
            batch_size: P times K, rounded down to a multiple of K; P is at least 2.
            photos_each: K, at least 2.
            training: Whether each epoch is redrawn, and augmented.
            augmenter: Applied to each image of a training epoch.
            seed: Seed of the order, 0 or more.
            workers: Threads that augment, by default one per processor.
            multiple: The batch size is a multiple of it, with fewer people where it takes that.

        Raises:
            UsageError: There are fewer than two people with two photos, or no such batch size.
        """
        if photos_each < LEAST_PHOTOS:
            raise UsageError(broken_rule("`photos`", f"be at least {LEAST_PHOTOS}", photos_each))
        super().__init__(
            images,
            batch_size,
            training=training,
            augmenter=augmenter,
            seed=seed,
            workers=workers,
        )
        photos = [np.flatnonzero(images.labels == p) for p in np.unique(images.labels)]
        self._photos = [own for own in photos if len(own) >= LEAST_PHOTOS]
        if len(self._photos) < LEAST_PEOPLE:
            self.close()
            rule = f"have at least {LEAST_PEOPLE} people with {LEAST_PHOTOS} photos each"
            raise UsageError(broken_rule("a split", rule, len(self._photos)))
        self._each = photos_each
        self._people = min(max(LEAST_PEOPLE, batch_size // photos_each), len(self._photos))
        while self._people >= LEAST_PEOPLE and self._people * photos_each % multiple:
            self._people -= 1
        if self._people < LEAST_PEOPLE:
            self.close()
            rule = f"make batches that {multiple} devices can share with some number of people"
            raise UsageError(broken_rule("`photos`", rule, photos_each))
        self.batch_size = self._people * photos_each

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        lots = sum(-(-len(own) // self._each) for own in self._photos)
        return max(1, round(lots / self._people))

    @property
    def _weight(self) -> float:
        return 1.0

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """Return the indices of an epoch's images, batch by batch."""
        epoch = epoch if self.training else 0
        if self._order is None or self._order[0] != epoch:
            generator = np.random.default_rng((self._seed, epoch, int(self.training)))
            self._order = (epoch, self._drawn_batches(generator))
        return self._order[1]

    def _drawn_batches(self, generator: np.random.Generator) -> np.ndarray:
        lots = [self._lots(own, generator) for own in self._photos]
        order = []
        for _ in range(self.steps):
            left = np.array([len(own) for own in lots])
            rank = np.lexsort((generator.random(len(left)), -left))
            for person in rank[: self._people]:
                if not lots[person]:
                    lots[person] = self._lots(self._photos[person], generator)
                order.append(lots[person].pop())
        return np.concatenate(order)

    def _lots(self, own: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        """Return a person's photos in groups of K."""
        count = -(-len(own) // self._each) * self._each
        shuffled = generator.permutation(own)
        return list(np.resize(shuffled, count).reshape(-1, self._each))
