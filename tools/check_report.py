#!/usr/bin/env python3
"""Opens a report in headless Chromium as readers with narrow, usual and wide windows would.

usage: check_report.py REPORT.html [--shots FOLDER] [--chromium PROGRAM]

Fails (status 1, a line for each reason) if at 400, 1280 or 2560 pixels, light or dark, the page is wider than the
window, anything reaches out of it, the console says something, anything is fetched, a picture does not load, opening
takes 2 s or more, or the file has 20 MB or more. --shots keeps a picture of the whole page for each window, to look at.
Needs Chromium; speaks its DevTools protocol over pipes, so nothing but Python's standard library.
"""
import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

WIDTHS = (400, 1280, 2560)
MAX_BYTES = 20_000_000
MAX_OPEN_S = 2.0

# Elements that stick out of the window to the right, those that scroll, and pictures that did not load.
FACTS = """(() => {
  const root = document.documentElement;
  const wide = [...document.querySelectorAll('body *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.right > root.clientWidth + 0.5 && !e.closest('thead');
  }).slice(0, 5).map(e => e.tagName + '.' + (e.getAttribute('class') || '') + ': ' + e.textContent.slice(0, 40));
  const broken = [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length;
  const entry = performance.getEntriesByType('navigation')[0];
  return {scroll: root.scrollWidth, client: root.clientWidth, height: root.scrollHeight, wide, broken,
          images: document.images.length, scripts: document.scripts.length, load_s: entry.loadEventEnd / 1000,
          headings: [...document.querySelectorAll('h2')].map(h => h.textContent)};
})()"""


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, program, profile):
        to_browser, self.write_fd = os.pipe()
        self.read_fd, from_browser = os.pipe()

        def hand_over():  # Chromium reads descriptor 3 and writes descriptor 4
            os.dup2(to_browser, 100)
            os.dup2(from_browser, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=hand_over, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.next_id, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def receive(self):
        while b"\0" not in self.buffer:
            chunk = os.read(self.read_fd, 1 << 20)
            if not chunk:
                raise SystemExit("check_report: Chromium went away")
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.next_id += 1
        message = {"id": self.next_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        while True:
            reply = self.receive()
            if reply.get("id") == self.next_id:
                if "error" in reply:
                    raise SystemExit(f"check_report: {method}: {reply['error']}")
                return reply["result"]
            self.events.append(reply)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive())

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return result["result"]["value"]

    def close(self):
        self.process.terminate()
        self.process.wait()


def look(browser, url, width, scheme, shots):
    """The problems of one window, and its facts."""
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.events.clear()
    begin = time.monotonic()
    browser.call("Page.navigate", url=url)
    browser.wait_for("Page.loadEventFired")
    open_s = time.monotonic() - begin
    browser.evaluate("Promise.all([...document.images].map(i => i.decode().catch(() => 0))).then(() => 1)")
    facts = browser.evaluate(FACTS)
    problems = []
    for event in browser.events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Log.entryAdded":
            problems.append("console: " + params["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            problems.append("console: " + json.dumps(params)[:200])
        elif method == "Network.requestWillBeSent":
            fetched = params["request"]["url"]
            if fetched != url and not fetched.startswith("data:"):
                problems.append("fetches " + fetched[:200])
    if facts["scroll"] > facts["client"]:
        problems.append(f"scrolls sideways: {facts['scroll']} pixels in {facts['client']}")
    problems += ["reaches out of the window: " + what for what in facts["wide"]]
    if facts["broken"]:
        problems.append(f"{facts['broken']} of {facts['images']} pictures do not load")
    if facts["scripts"]:
        problems.append(f"{facts['scripts']} scripts")
    if open_s >= MAX_OPEN_S:
        problems.append(f"opens in {open_s:.2f} s, expected less than {MAX_OPEN_S} s")
    if shots:
        top = 0
        while top < facts["height"]:  # in pieces: one picture of a long page is more than a viewer takes
            height = min(2400, facts["height"] - top)
            clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
            shot = browser.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
            name = f"{width}-{scheme}-{top // 2400:02}.png"
            (shots / name).write_bytes(base64.b64decode(shot["data"]))
            top += 2400
    facts["open_s"] = open_s
    return problems, facts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--shots", type=pathlib.Path)
    parser.add_argument("--chromium", default="chromium")
    options = parser.parse_args()
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)
    url = options.report.resolve().as_uri()
    size = options.report.stat().st_size
    failed = False
    if size >= MAX_BYTES:
        failed = True
        print(f"the file has {size} bytes, expected less than {MAX_BYTES}")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(options.chromium, profile)
        try:
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    problems, facts = look(browser, url, width, scheme, options.shots)
                    failed |= bool(problems)
                    print(f"{width} px, {scheme}: {facts['open_s']:.2f} s, {facts['height']} px high, "
                          f"{facts['images']} pictures, {'ok' if not problems else 'FAILED'}")
                    for problem in problems:
                        print("  " + problem)
        finally:
            browser.close()
    print(f"{size / 1e6:.2f} MB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
