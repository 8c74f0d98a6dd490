"""Features computed by workers: those of one process, in the same cache, whatever dies."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from cnnkit.classification.training import ClassifierSettings
from cnnkit.classification.training.backbone import Backbone, open_backbone
from cnnkit.classification.training.feature_cluster import (
    FeatureCluster,
    features_of,
    opened_features,
    order_of,
)
from cnnkit.classification.training.features import FeatureExtractor, HashedImage
from cnnkit.cluster import EngineChoice
from cnnkit.cluster.parts import packed
from cnnkit.data.augment import Augmenter
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import RuntimeUnavailableError, UsageError
from cnnkit.results import Failure, make_row
from tests.classification.training.drawings import draw
from tests.cluster.local_pool import local_pools

BAD = "broken.png"


@dataclass
class Setting:
    """Images, a backbone, and workers of this process in the place of Ray's."""

    images: list[HashedImage]
    backbone: Backbone
    pool: object
    fatal: str = ""

    def dies(self, ticket) -> bool:
        return any(one.path == self.fatal for one in ticket.inputs)

    def extractor(self, engine: FeatureCluster | None = None) -> FeatureExtractor:
        augmenter = Augmenter(read_recipe("light"), 3)
        return FeatureExtractor(self.backbone, augmenter=augmenter, workers=2, engine=engine)

    @property
    def tickets(self) -> list[int]:
        """Number of images of each ticket that a worker was given."""
        return [len(one.inputs) for pool in self.pool.pools for one in pool.given]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[HashedImage]:
    folder = draw(tmp_path_factory.mktemp("drawn"), count=3)
    (folder / BAD).write_bytes(b"no image")
    files = sorted(path for path in folder.rglob("*.png"))
    return [HashedImage(str(f), hashlib.sha256(f.read_bytes()).digest()) for f in files]


@pytest.fixture
def setting(drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    made = Setting(drawn, open_backbone("squeezenet-1.1"), None)
    made.pool = local_pools(made.dies)
    monkeypatch.setattr("cnnkit.cluster.ray_pool.ray_pool", made.pool)
    monkeypatch.setattr(
        "cnnkit.runtime.ray_session.ray_session", lambda address: contextlib.nullcontext()
    )
    cached_in(tmp_path / "first", monkeypatch)
    return made


def cached_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    module = "cnnkit.classification.training.feature_cache"
    patch.setattr(f"{module}.cache_folder", lambda: folder)


def engine_of(shard_size: int = 4) -> FeatureCluster:
    return FeatureCluster(EngineChoice(None, shard_size))


def test_the_features_are_those_of_one_process_in_the_same_cache(
    setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    plain, engine = setting.extractor(), engine_of()
    expected = [plain.extract(setting.images, view=view) for view in (None, 1)]
    cached_in(tmp_path / "second", monkeypatch)
    cluster = setting.extractor(engine)
    found = [
        cluster.extract(setting.images, view=view, progress=lambda: told.append(1))
        for view in (None, 1)
    ]
    engine.close()
    assert setting.images[0].path.endswith(BAD)
    for one, other in zip(expected, found, strict=True):
        assert one.values.tobytes() == other.values.tobytes()
        assert one.failures == other.failures and list(one.failures) == [0]
        assert one.cached == other.cached == 0
    assert not np.array_equal(found[0].values, found[1].values)
    assert setting.tickets == [4, 4, 2] * 2 and len(told) == 20
    assert len(setting.pool.pools) == 1 and setting.pool.pools[0].ended
    names = [sorted(p.name for p in tmp_path.glob(f"{n}/*/*")) for n in ("first", "second")]
    assert names[0] == names[1] and len(names[0]) == 2
    assert plain.extract(setting.images).cached == 9  # by the workers
    cached_in(tmp_path / "first", monkeypatch)
    assert cluster.extract(setting.images[1:], view=1).cached == 9  # by the plain run
    assert setting.tickets == [4, 4, 2] * 2


def test_an_image_that_kills_its_process_is_a_failure_and_nothing_else_is_lost(setting) -> None:
    setting.fatal = setting.images[5].path
    engine = engine_of()
    with contextlib.closing(engine):
        found = setting.extractor(engine).extract(setting.images)
    assert [found.failures[n].kind for n in sorted(found.failures)] == ["not-an-image", "crashed"]
    plain = setting.extractor().extract(setting.images)
    assert plain.cached == 8
    good = [n for n in range(10) if n not in found.failures]
    assert plain.values[good].tobytes() == found.values[good].tobytes()


def test_a_killed_run_computes_no_finished_feature_again(setting) -> None:
    engine, done = engine_of(), []

    def stop() -> None:
        done.append(1)
        if len(done) == 8:  # the second shard is kept by then
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting.extractor(engine).extract(setting.images, progress=stop)
    assert setting.pool.pools[0].ended
    del setting.pool.pools[:]
    found = setting.extractor(engine).extract(setting.images)
    engine.close()
    assert found.cached + sum(setting.tickets) == 10 and found.cached >= 7


def test_another_backbone_has_workers_of_its_own(setting) -> None:
    engine = engine_of()
    with contextlib.closing(engine):
        for _ in range(2):
            setting.extractor(engine).extract(setting.images[:2], view=len(setting.tickets))
            assert not setting.pool.pools[-1].ended
    assert [pool.ended for pool in setting.pool.pools] == [True, True]


def test_a_machine_that_lacks_an_image_ends_the_run(drawn) -> None:
    missing = Failure("missing", "no such file")
    rows = [(make_row(one.path, missing), None) for one in drawn[:1]]
    with pytest.raises(RuntimeUnavailableError, match="must have the images at the same paths"):
        features_of(drawn[:1], packed(rows))
    gone = HashedImage("gone.png", bytes(32))
    assert features_of([gone], packed(rows)) == [(bytes(32), missing)]


def test_a_machine_with_another_version_of_a_library_cannot_work(setting) -> None:
    extractor = setting.extractor()
    settings = order_of(extractor).opens.keywords
    assert opened_features(**settings).identity == extractor.identity
    settings["versions"]["numpy"] = "1.0"
    with pytest.raises(RuntimeUnavailableError, match=r"same version of numpy\. Received: .*1\.0"):
        opened_features(**settings)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"from_scratch": "lenet-5"}, "`from_scratch` and `engine` are mutually exclusive"),
        ({"coordinator": "a:1", "fine_tune": 1}, "`engine` and `coordinator` are mutually"),
        ({"engine": "dask"}, "`engine` must be ray"),
        ({"shard_size": 0}, "`shard_size` must be from 1"),
    ],
)
def test_what_does_not_fit_is_refused(named: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        cnnkit.transfer_learn("photos", tmp_path / "model", **{"engine": "ray"} | named)


def test_settings_take_no_engine_without_a_backbone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="see `coordinator`"):
        ClassifierSettings("data", tmp_path, from_scratch="lenet-5", engine=engine_of())
