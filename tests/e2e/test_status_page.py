"""The status page in a real browser, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands import free_port, started, wait_for
from tests.e2e.browser import Browser, browser


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    port = free_port()
    with started("demo", f"--web.listen-address=127.0.0.1:{port}"):
        wait_for(port, "/-/ready", "Ready")
        yield f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_fits_its_window_and_shows_every_studio(window: Browser, page: str, width: int) -> None:
    window.open(page, width)
    assert window.value("document.documentElement.scrollWidth <= window.innerWidth")
    shown = window.value("[...document.querySelectorAll('h3')].map(h => h.textContent)")
    # Each as Nimble Studio, EBS and AWS Backup know it; then the three targets.
    assert shown[:9] == ["aurora"] * 3 + ["driftwood"] * 3 + ["nocturne"] * 3
    shape = window.value("getComputedStyle(document.querySelector('ul.counts')).display")
    assert shape == "flex"  # so its style is let in


def test_failed_backups_can_be_opened(window: Browser, page: str) -> None:
    window.open(page, 1280)
    assert not window.value("document.querySelector('details td.id').checkVisibility()")
    window.value("document.querySelector('summary').click()")
    assert window.value("document.querySelector('details td.id').checkVisibility()")
    assert window.value("document.querySelector('details td.id').textContent") != ""


def test_every_link_leads_somewhere(window: Browser, page: str) -> None:
    window.open(page, 1280)
    links = window.value("[...document.querySelectorAll('a')].map(a => a.href)")
    assert len(links) == 5
    for link in links:
        window.open(link, 1280)
        assert window.value("performance.getEntriesByType('navigation')[0].responseStatus") == 200
