"""A headless Chromium, driven by the W3C WebDriver protocol, which chromium-driver speaks."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
WHY_NOT = (
    "needs Debian's chromium and chromium-driver, which .ci/run installs"
    if not (DRIVER and BROWSER)
    else ""
)
KEYS = {"left": "\ue012", "right": "\ue014", "home": "\ue011", "tab": "\ue004",
        "enter": "\ue007", "escape": "\ue00c"}  # fmt: skip
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A session.

    Args:
      base: address of the driver.
      profile: folder of the browser's own files.
    """

    def __init__(self, base, profile):
        self._at = base
        options = {
            "binary": BROWSER,
            "args": [
                "--headless=new", "--disable-gpu", "--no-sandbox", "--disable-dev-shm-usage",
                "--disable-background-networking", f"--user-data-dir={profile}",
            ],
        }  # fmt: skip
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        found = self._ask("POST", "/session", {"capabilities": wanted})
        self._at = f"{base}/session/{found['sessionId']}"

    def _ask(self, verb, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._at + path, data, {"Content-Type": "application/json"}, method=verb
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:500]) from error

    def open(self, address):
        self._ask("POST", "/url", {"url": address})

    def run(self, script):
        """What a script in the page returns; it may await."""
        body = f"const done = arguments[0]; (async () => {{ {script} }})().then(done)"
        return self._ask("POST", "/execute/async", {"script": body, "args": []})

    def press(self, selector, *keys):
        """Types keys into an element."""
        where = {"using": "css selector", "value": selector}
        found = self._ask("POST", "/element", where)[_ELEMENT]
        text = "".join(KEYS[key] for key in keys)
        self._ask("POST", f"/element/{found}/value", {"text": text})

    def cdp(self, command, **params):
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def resize(self, width, height=800):
        """Makes the page as wide as that, narrower than any window can be, too."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **size)

    def console(self):
        """Messages of the console since the last call."""
        return self._ask("POST", "/se/log", {"type": "browser"})

    def requests(self):
        """Addresses that were asked for since the last call."""
        rows = self._ask("POST", "/se/log", {"type": "performance"})
        found = [json.loads(row["message"])["message"] for row in rows]
        return [
            one["params"]["request"]["url"]
            for one in found
            if one["method"] == "Network.requestWillBeSent"
        ]

    def quit(self):
        self._ask("DELETE", "")


@contextlib.contextmanager
def browser(folder):
    """Starts a driver and a browser whose files lie in a folder; ends both."""
    log = folder / "driver.log"
    with open(log, "w") as out:
        driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=out, stderr=subprocess.STDOUT,
            env=os.environ | {"HOME": str(folder)},
        )  # fmt: skip
    try:
        found = Browser(f"http://127.0.0.1:{_port(driver, log)}", folder / "profile")
        try:
            yield found
        finally:
            found.quit()
    finally:
        driver.terminate()
        driver.wait(20)


def _port(driver, log):
    """The port that the driver chose; it prints it."""
    for _ in range(600):
        found = re.search(r"started successfully on port (\d+)", log.read_text())
        if found:
            return int(found[1])
        assert driver.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
