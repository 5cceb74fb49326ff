"""A headless Chromium for tests and benchmarks: Debian's, with Debian's driver."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
MISSING = None if CHROMIUM and DRIVER else "no chromium and chromedriver here (see `make browser`)"
# As root, in a container, with little shared memory.
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
WAIT = 60  # seconds; the bound of a hang, not of a time


class Browser:
    """A page in Chromium, and what it said and asked for."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        """Open a file."""
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: object) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, css: str, within: Any = None) -> list[Any]:
        """Return the elements that a selector finds."""
        return (within or self.driver).find_elements("css selector", css)

    def wait(self, condition: Any) -> Any:
        """Return what a function without arguments returns once that is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, WAIT).until(lambda _: condition())

    def console(self) -> list[str]:
        """Return what the page wrote to the console since the last call, violations too."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requested(self) -> list[str]:
        """Return the addresses that were asked for since the last call, but data in the page."""
        events = [
            json.loads(row["message"])["message"] for row in self.driver.get_log("performance")
        ]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        urls = [params["request"]["url"] for params in sent]
        return [url for url in urls if not url.startswith("data:")]


@contextmanager
def browser(javascript: bool = True) -> Iterator[Browser]:
    """Start Chromium and end it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, "--window-size=1366,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not javascript:
        key = "profile.managed_default_content_settings.javascript"
        options.add_experimental_option("prefs", {key: 2})
    # Named, so that selenium downloads none.
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
