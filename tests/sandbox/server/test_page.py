"""The page in a real browser: headless Chromium, driven through its own driver."""

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from selenium import webdriver
from selenium.common.exceptions import JavascriptException, WebDriverException
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.support.ui import WebDriverWait

from sandbox import Sandbox
from sandbox.server.app import create_app
from sandbox.server.page import PATHS
from sandbox.server.settings import Settings

TOKEN = "right-token"
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
FLAGS = (
    "--headless",
    "--no-sandbox",  # of Chromium's own, which root cannot have; it visits this machine's server only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
)


class Serving:
    """A server in a thread of this process, at an address of its own."""

    def __init__(self, box: Sandbox, token: str | None) -> None:
        self.app = create_app(box, Settings(queued=1000), token)
        self.token = token
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, args=([listening],))
        self._thread.start()
        self.client = httpx2.Client(base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=60)

    def judge(self, *codes: str, tests: str = "assert f() == 1") -> None:
        key = self.client.put("/v1/problems", json={"problems": [{"id": "one", "tests": [tests]}]}).json()["keys"][0]
        submissions = [{"problem": key, "code": code} for code in codes]
        self.client.post("/v1/judge", json={"submissions": submissions}).raise_for_status()

    def stop(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join()


class Browser:
    """A tab."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Driver(shutil.which("chromedriver")))
        self.driver.get("about:blank")
        self.requests()

    def lives(self) -> bool:
        try:
            return bool(self.js("return true"))
        except WebDriverException:
            return False

    def open(self, url: str) -> None:
        """Loads a page; what the tab had kept is gone."""
        self.driver.get("about:blank")
        self.driver.get(url.partition("#")[0] + "/page/icon.svg")
        self.driver.execute_script("sessionStorage.clear()")
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(url)

    def js(self, script: str, *values: object) -> Any:  # what JavaScript returns
        return self.driver.execute_script(script, *values)

    def text(self, selector: str) -> str:
        """What a reader sees of an element."""
        text: str = self.js("return document.querySelector(arguments[0]).innerText", selector)
        return text

    def fill(self, selector: str, value: str) -> None:
        self.js("document.querySelector(arguments[0]).value = arguments[1]", selector, value)

    def click(self, selector: str) -> None:
        self.js("document.querySelector(arguments[0]).click()", selector)

    def until(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.driver, 30, poll_frequency=0.05).until(lambda _: condition())

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def errors(self) -> list[str]:
        """Of the console; that a token was refused is not one."""
        return [row["message"] for row in self.driver.get_log("browser") if "status of 401" not in row["message"]]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call, the browser's own pages apart."""
        messages = [json.loads(row["message"])["message"] for row in self.driver.get_log("performance")]
        sent = [row["params"] for row in messages if row["method"] == "Network.requestWillBeSent"]
        sockets = [row["params"]["url"] for row in messages if row["method"] == "Network.webSocketCreated"]
        urls = [row["request"]["url"] for row in sent] + sockets
        return [url for url in urls if not url.startswith(("about:", "chrome:", "data:"))]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as box:
        yield box


@pytest.fixture(scope="module")
def server(box: Sandbox) -> Iterator[Serving]:
    server = Serving(box, TOKEN)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browsers() -> Iterator[list[Browser]]:
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} (Debian: apt install chromium chromium-driver)")
    started: list[Browser] = []
    yield started
    for browser in started:
        browser.driver.quit()


@pytest.fixture
def browser(browsers: list[Browser], tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """That of the test before, or a new one where it has crashed since."""
    if not browsers or not browsers[-1].lives():
        browsers.append(Browser(tmp_path_factory.mktemp("chromium")))
    browser = browsers[-1]
    browser.size(1280, 900)
    browser.scheme("light")
    return browser


@pytest.fixture
def live(browser: Browser, server: Serving) -> Browser:
    """The page with the numbers of a server, the token given in the address."""
    browser.open(f"{server.url}#token={TOKEN}")
    browser.until(lambda: browser.text("#state") == "Ready")
    return browser


def finished(browser: Browser) -> int:
    return int(browser.text("#finished strong").replace(",", ""))


def attempt(browser: Browser, **fields: str) -> str:
    """Fills the form, sends it; the answer."""
    for name, value in fields.items():
        browser.fill(f"#{name}", value)
    browser.js("document.getElementById('answer').textContent = ''; arguments[0].click()", browser.js("return submit"))
    browser.until(lambda: browser.text("#answer") not in {"", "Running"})
    return browser.text("#answer")


def test_the_page_needs_no_token_and_asks_for_one(browser: Browser, server: Serving) -> None:
    browser.open(server.url)
    browser.until(lambda: browser.text("#state") == "Token needed")
    assert browser.js("return document.activeElement.id") == "token"
    assert browser.js("return content.hidden && !login.hidden")
    assert browser.text("#token-error") == ""


@pytest.mark.parametrize("wrong", ["wrong", "two words", "ключ"])
def test_a_wrong_token_is_asked_for_again(browser: Browser, server: Serving, wrong: str) -> None:
    browser.open(server.url)
    browser.until(lambda: browser.text("#state") == "Token needed")
    browser.fill("#token", wrong)
    browser.click("#token-form button")
    browser.until(lambda: browser.text("#token-error") == "This is not the server's token.")
    browser.fill("#token", TOKEN)
    browser.click("#token-form button")
    browser.until(lambda: browser.text("#state") == "Ready")
    assert browser.js("return login.hidden && !content.hidden")
    assert browser.errors() == []


def test_a_token_in_the_address_is_used_and_taken_out_of_it(live: Browser, server: Serving) -> None:
    assert live.js("return location.href") == f"{server.url}/"
    assert live.js("return sessionStorage.length") == 1
    assert live.js("return localStorage.length + document.cookie.length") == 0
    live.driver.refresh()
    live.until(lambda: live.text("#state") == "Ready")


def test_a_server_without_token_needs_none(browser: Browser, box: Sandbox) -> None:
    server = Serving(box, None)
    try:
        browser.open(server.url)
        browser.until(lambda: browser.text("#state") == "Ready")
        assert browser.errors() == []
    finally:
        server.stop()


def test_numbers_move_when_submissions_are_judged(live: Browser, server: Serving) -> None:
    before = finished(live)
    server.judge(*["def f(): return 1"] * 3, "def f(): return 2")
    live.until(lambda: finished(live) == before + 4)
    assert "AC\taccepted" in live.text("#verdicts")
    live.until(lambda: live.text("#rate strong") != "0")
    assert live.js("return document.querySelectorAll('#rate-chart polyline').length") == 1
    assert "ms" in live.text("#latency")
    assert "userns" in live.text("#facts")


def test_failures_are_listed_as_they_come(live: Browser, server: Serving) -> None:
    server.client.headers["x-client"] = "trainer"
    server.judge("def f(): return 2", "def f(")
    live.until(lambda: "CE" in live.text("#failure-rows") and "WA" in live.text("#failure-rows"))
    row = live.text("#failure-rows tr")
    assert "one" in row
    assert "trainer" in row
    live.fill("#failure-filter", "CE")
    live.js("document.getElementById('failure-filter').dispatchEvent(new Event('change'))")
    assert "WA" not in live.text("#failure-rows")
    assert "SyntaxError" in live.text("#failure-rows")


def test_the_form_judges_by_asserts(live: Browser) -> None:
    answer = attempt(live)
    assert "AC · 2 of 2 tests passed" in answer
    answer = attempt(live, code="def add(a, b): return 4")
    assert "WA · 1 of 2 tests passed" in answer
    assert "the assertion failed" in answer
    answer = attempt(live, code="def add(a, b")
    assert answer.startswith("CE")
    assert "SyntaxError" in answer


def test_the_form_judges_by_input_and_output(live: Browser) -> None:
    live.click("[name=mode][value=stdio]")
    assert attempt(live).startswith("AC · 1 of 1 tests passed")
    live.click("#add-pair")
    live.js(
        "const [one, other] = [...document.querySelectorAll('.pair:last-child textarea')];"
        "one.value = '1 1'; other.value = '3'"
    )
    answer = attempt(live)
    assert "WA · 1 of 2 tests passed" in answer


def test_the_form_offers_the_languages_that_the_server_has(live: Browser, box: Sandbox) -> None:
    offered = "return [...language.options].map(option => option.value)"
    live.until(lambda: live.js(offered) == list(box.languages))
    assert live.js("return language.disabled")  # asserts are Python
    live.click("[name=mode][value=stdio]")
    assert not live.js("return language.disabled")


def test_the_form_runs_a_program(live: Browser) -> None:
    live.click("[name=mode][value=run]")
    answer = attempt(
        live, code="import sys; print(input()[::-1]); print('no', file=sys.stderr); sys.exit(3)", stdin="abc"
    )
    assert answer.startswith("RE · exit status 3")
    assert "cba" in answer
    assert "no" in answer


def test_the_form_tells_what_the_server_refuses(live: Browser) -> None:
    assert "assert" in attempt(live, asserts="x = 1").lower()
    assert "at most" in attempt(live, asserts="assert add(1, 1)", cpu="100000")
    live.fill("#cpu", "")
    assert live.js("return submit.disabled") is False


def test_text_of_programs_is_shown_and_never_run(live: Browser, server: Serving) -> None:
    live.click("[name=mode][value=run]")
    answer = attempt(live, code=f"import sys; print({HOSTILE!r}); sys.stderr.write({HOSTILE!r})", stdin="")
    assert answer.count(HOSTILE) == 2
    live.click("[name=mode][value=function]")
    code = f"def add(a, b): raise ValueError({HOSTILE!r})"
    assert HOSTILE in attempt(live, code=code)
    server.client.put("/v1/problems", json={"problems": [{"id": HOSTILE, "tests": ["assert add(1, 2)"]}]})
    server.client.headers["x-client"] = HOSTILE
    server.judge(f"def f(): raise ValueError({HOSTILE!r})")
    live.until(lambda: live.text("#failure-rows").count(HOSTILE) >= 2)
    assert live.js("return document.querySelectorAll('img, body script').length") == 0
    assert live.js("return document.title") == "qrpo-sandbox"
    assert live.errors() == []


def test_markup_from_text_is_impossible_in_the_page(live: Browser) -> None:
    with pytest.raises(JavascriptException, match="TrustedHTML"):
        live.js("document.body.insertAdjacentHTML('beforeend', '<b>x</b>')")
    live.errors()


def test_the_page_asks_nobody_but_its_server(live: Browser, server: Serving) -> None:
    live.requests()
    live.driver.refresh()
    live.until(lambda: live.text("#state") == "Ready")
    attempt(live)
    asked = live.requests()
    assert {url for url in asked if not url.startswith(server.url + "/")} == set()
    assert len(asked) > len(PATHS)
    assert not any(TOKEN in url for url in asked)
    assert live.errors() == []


def test_a_server_that_is_gone_or_ends_is_told_of(browser: Browser, box: Sandbox) -> None:
    server = Serving(box, None)
    try:
        browser.open(server.url)
        browser.until(lambda: browser.text("#state") == "Ready")
        server.app.state.observation.answered("POST", "/v1/run", 429, 0.0)
        browser.until(lambda: browser.text("#state") == "Overloaded")
        assert "queue is full" in browser.text("#notice")
        server.app.state.service.dispatcher._is_draining = True
        browser.until(lambda: browser.text("#state") == "Draining")
    finally:
        server.stop()
    browser.until(lambda: browser.text("#state") == "Not reachable")
    assert "No answer since" in browser.text("#notice")
    assert browser.js("return getComputedStyle(notice).display") != "none"


def test_charts_tell_single_values_by_keyboard(live: Browser) -> None:
    live.js(
        "const chart = document.querySelector('#rate-chart .chart'); chart.focus();"
        "chart.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}))"
    )
    assert "per s" in live.text("#rate-chart .readout")
    assert "Throughput over the last 1 min" in live.js("return document.querySelector('#rate-chart .chart').ariaLabel")


def test_every_field_has_a_label(live: Browser) -> None:
    live.click("[name=mode][value=stdio]")
    unnamed = live.js(
        "return [...document.querySelectorAll('input, select, textarea')]"
        ".filter(field => !field.labels.length).map(field => field.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.parametrize("mode", ["function", "stdio", "run"])
def test_nothing_is_wider_than_a_phone(live: Browser, server: Serving, mode: str) -> None:
    server.judge(f"def f(): raise ValueError({'x' * 250!r})", "def f(")
    live.size(400, 800)
    live.click(f"[name=mode][value={mode}]")
    attempt(live, code="print('y' * 3000)")
    live.until(lambda: "xxx" in live.text("#failure-rows"))
    assert live.js("return [innerWidth, document.documentElement.scrollWidth]") == [400, 400]
    outside = live.js(
        "return [...document.querySelectorAll('main :not(textarea, svg, svg *, thead, thead *, .unseen)')]"
        ".filter(node => "
        "node.getBoundingClientRect().right > 400 || node.scrollWidth > node.clientWidth + 1 && node.clientWidth)"
        ".map(node => node.outerHTML.slice(0, 80))"
    )
    assert outside == []


CONTRAST = Path(__file__).with_name("contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(live: Browser, server: Serving, scheme: str) -> None:
    """WCAG 2.2 AA: text 4.5 to 1, marks and the edges of fields 3 to 1."""
    live.scheme(scheme)
    assert (
        live.js("return getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(244, 246, 248)",
            "dark": "rgb(15, 19, 24)",
        }[scheme]
    )
    server.judge("def f(): return 1", "def f(): return 2", "def f(", "1/0")
    attempt(live, code="def add(a, b): return 4")
    live.until(lambda: len(live.text("#verdicts").splitlines()) >= 4)
    seen, poor = live.js(CONTRAST)
    assert poor == []
    assert seen > 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_verdict_can_be_read(live: Browser, scheme: str) -> None:
    live.scheme(scheme)
    live.js(
        "const names = ['AC', 'WA', 'RE', 'TLE', 'MLE', 'OLE', 'CE', 'NO_CODE', 'IE', 'SKIPPED', 'problem'];"
        "answer.replaceChildren(...names.flatMap(name => ['verdict', 'swatch'].map(kind => {"
        "const node = document.createElement('span'); node.className = `${kind} of-${name}`;"
        "node.textContent = kind === 'verdict' ? name : ''; return node; })));"
        "const note = document.getElementById('notice'); note.hidden = false; note.textContent = 'full';"
        "note.className = 'notice gone'"
    )
    assert live.js(CONTRAST)[1] == []


@pytest.mark.parametrize("path", PATHS)
def test_files_are_open_and_keep_browsers_on_a_short_leash(server: Serving, path: str) -> None:
    answer = httpx2.get(server.url + path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kinds.get(path.rpartition(".")[2], "text/html"))


@pytest.mark.parametrize(
    "path", ["/page/", "/page/../app.py", "/page/%2e%2e/app.py", "/page/main.py", "/page/index.html"]
)
def test_no_other_file_is_served(server: Serving, path: str) -> None:
    assert server.client.get(path).status_code == 404
