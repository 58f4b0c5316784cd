"""Shows a page to a real headless Chromium, and prints what a person would see of it, as JSON.

Spoken to over a pipe, in the DevTools protocol: messages of JSON that end with a zero byte.
"""

import argparse
import base64
import itertools
import json
import os
import pathlib
import subprocess
import tempfile

# What is shown, and how: what a person reads, how wide that is, and how well each text stands out from its ground.
LOOK = """(() => {
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const contrast = (element) => {
    const [dark, bright] = [ground, light(getComputedStyle(element).color)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  return {
    title: document.title,
    rows: [...document.querySelectorAll('tr')].map((row) => [...row.cells].map((cell) => cell.innerText)),
    text: document.body.innerText,
    links: [...document.links].map((link) => link.getAttribute('href')),
    width: document.documentElement.scrollWidth,
    ground,
    contrast: Math.min(...[...document.querySelectorAll('h1, th, td, a')].map(contrast)),
  };
})()"""

# What a page that let a script in would do.
INTRUDE = """(() => {
  const script = document.createElement('script');
  script.textContent = 'window.intruded = true';
  document.body.append(script);
  return window.intruded === true;
})()"""


class Browser:
    def __init__(self, profile):
        reads, to_browser = os.pipe()
        from_browser, writes = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        # the browser expects its pipe at 3 and 4
        plumb = f'exec chromium "$@" 3<&{reads} 4>&{writes}'
        self.child = subprocess.Popen(
            ["bash", "-c", plumb, "chromium", *flags, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(reads, writes), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        self.requests, self.replies = os.fdopen(to_browser, "wb", 0), os.fdopen(from_browser, "rb", 0)
        self.numbers, self.rest, self.session, self.events = itertools.count(1), b"", None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{part}.enable")

    def hear(self):
        while b"\0" not in self.rest:
            piece = self.replies.read(65536)
            if not piece:
                raise SystemExit("the browser has ended")
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def ask(self, method, **params):
        number = next(self.numbers)
        request = {"id": number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        self.requests.write(json.dumps(request).encode() + b"\0")
        while True:
            message = self.hear()
            if message.get("id") == number:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def open(self, url):
        self.ask("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.hear())

    def click(self, href):
        """Clicks a link, and returns what the browser got for it; it need not end."""
        self.events.clear()
        self.run(f"document.querySelector('a[href=\"{href}\"]').click()")
        while True:
            for event in self.events:
                if event.get("method") == "Network.responseReceived" and event["params"]["type"] == "Document":
                    response = event["params"]["response"]
                    return {"url": response["url"], "status": response["status"]}
            self.events.append(self.hear())

    def run(self, script):
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def said(self):
        """What it has to complain of, and what it has asked for."""
        of = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        asked = [event["params"]["request"]["url"] for event in self.events
                 if event.get("method") == "Network.requestWillBeSent"]
        return {"complaints": [event["params"] for event in self.events if event.get("method") in of], "asked": asked}

    def end(self):
        self.session = None
        self.ask("Browser.close")
        self.child.wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--width", type=int, default=1000)
    arguments.add_argument("--scheme", choices=["light", "dark"], default="light")
    arguments.add_argument("--click", metavar="HREF", help="a link of it that is clicked at last")
    arguments.add_argument("--picture", type=pathlib.Path, help="where a picture of it goes")
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        browser.ask("Emulation.setDeviceMetricsOverride", width=arguments.width, height=740, deviceScaleFactor=1,
                    mobile=arguments.width < 600)
        browser.ask("Emulation.setEmulatedMedia",
                    features=[{"name": "prefers-color-scheme", "value": arguments.scheme}])
        browser.open(arguments.url)
        seen = browser.run(LOOK) | browser.said()
        if arguments.picture:
            picture = browser.ask("Page.captureScreenshot", format="png")["data"]
            arguments.picture.write_bytes(base64.b64decode(picture))
        seen["intruded"] = browser.run(INTRUDE)
        if arguments.click:
            seen["clicked"] = browser.click(arguments.click)
        browser.end()
    print(json.dumps(seen))


main()
