"""A headless Chromium that may only read files, with the errors on its console and its requests."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
OWN = ("file:", "data:", "blob:", "about:")


def programs() -> tuple[str, str]:
    """Chromium (or Chrome) and its driver; without them tests are skipped, in continuous integration they fail."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver") or shutil.which("chromedriver", path=os.environ.get("CHROMEWEBDRIVER", ""))
    if browser and driver:
        return browser, driver
    missing = "no Chromium with chromedriver here: apt-get install chromium chromium-driver"
    return pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)


@contextlib.contextmanager
def opened(size: tuple[int, int] = (1280, 900)) -> Iterator[webdriver.Chrome]:
    """A browser whose console and network are logged."""
    browser, driver = programs()
    options = Options()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
            options.add_argument(flag)
        page = webdriver.Chrome(options=options, service=Service(driver))
        try:
            page.implicitly_wait(10)  # for elements that a page adds later
            page.get("about:blank")
            page.get_log("performance")  # drops the requests of a new browser's first page
            yield page
        finally:
            page.quit()


def url(path: Path) -> str:
    return path.resolve().as_uri()


def errors(page: webdriver.Chrome) -> list[str]:
    """Errors on the console since the last call, and requests that left the files."""
    said = [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return said + [address for address in asked if not address.startswith(OWN)]


def until(page: webdriver.Chrome, script: str, *arguments: object, seconds: float = 20) -> object:
    """What the script returns, once that is truthy; TimeoutException after so many seconds."""
    return WebDriverWait(page, seconds, 0.05).until(lambda page: page.execute_script(script, *arguments))
