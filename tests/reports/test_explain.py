from __future__ import annotations

from cnnkit.reports.explain import write_explanations
from tests.reports.conftest import webp


def test_an_image_without_heat_says_so(tmp_path):
    """Else two equal images stand side by side without a word."""
    rows = [
        {"path": f"{box}.jpg", "status": "ok", "label": "<cat>", "score": 0.4} | {"box": box}
        for box in (None, [1, 2, 3, 4])
    ]
    write_explanations(
        tmp_path / "e.html",
        [row | {"predicted": "<cat>"} for row in rows],
        title="t",
        model_name="m",
        thumbnails=lambda path: (webp(), webp()),
    )
    page = (tmp_path / "e.html").read_text()
    assert page.count("No heat: with this method, no region of the image supports") == 1
    assert "&lt;cat&gt;</span>.</p>" in page


def test_the_page_has_a_bound_and_counts_all(tmp_path, monkeypatch):
    own = {"status": "ok", "label": "cat", "score": 0.4, "predicted": "cat", "box": [1, 2, 3, 4]}
    rows = [{"path": f"{number}.jpg"} | own for number in range(6)]
    monkeypatch.setattr("cnnkit.reports.explain.CARDS", 4)
    monkeypatch.setattr("cnnkit.reports.explain.IMAGE_BYTES", 5 * len(webp()))
    write_explanations(
        tmp_path / "e.html",
        rows,
        title="t",
        model_name="m",
        thumbnails=lambda path: (webp(), webp()),
    )
    page = (tmp_path / "e.html").read_text()
    assert page.count('class="card"') == 4
    assert page.count("data:image/") == 2
    assert "6 explained, 0 failed. Shown are the first 4" in page
    assert "Thumbnails are shown of the first 1 images." in page
