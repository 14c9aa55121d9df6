"""/docs and /redoc in a browser: what a person does with them, on a desk and on a phone, and behind a path prefix."""

import json
import os
import shutil
from urllib.parse import urlsplit

import proxy
import service
from findings import Skipped, expect, say

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
PREFIX = "/ml/v1"
SCREENS = {
    "a desk's screen": {"viewport": {"width": 1280, "height": 800}},
    "a phone's screen": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "a small phone's screen": {"viewport": {"width": 320, "height": 568}, "is_mobile": True, "has_touch": True},
}
# Swagger UI looks for a component of its own for lists of files, says that there is none, and takes another.
KNOWN_COMPLAINT = "Could not find component: JsonSchema_string_binary"
CREATE = "#operations-predictions-create_prediction"


def check(options, folder):
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise Skipped(f"none of {', '.join(NAMES)} is installed, and CHROMIUM names none: no page was opened")
    from playwright.sync_api import sync_playwright

    # Root has no namespaces of its own to put the browser in.
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=words)
        say(f"page: Chromium {browser.version}")
        with service.one_process(options.programs, folder) as server:
            for name, screen in SCREENS.items():
                visit(browser, server.url, server, name, screen, folder)
            with proxy.behind(PREFIX, server.url, says_so=True) as url:
                visit(browser, url, server, "a proxy that says its prefix", SCREENS["a desk's screen"], folder)
        with service.one_process(options.programs, folder, "--path-prefix", PREFIX) as server:
            with proxy.behind(PREFIX, server.url, says_so=False) as url:
                visit(browser, url, server, "a prefix in the settings", SCREENS["a desk's screen"], folder)
        browser.close()


def visit(browser, url, server, name, screen, folder):
    """Opens both pages of the service at `url` and tries the API out."""
    context = browser.new_context(**screen)
    page = context.new_page()
    page.set_default_timeout(30_000)
    wrong, elsewhere = [], []
    page.on("console", lambda message: wrong.append(message.text) if complains(message) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"{request.url}: {request.failure}"))
    page.on("request", lambda request: None if request.url.startswith((url, "data:")) else elsewhere.append(request.url))

    page.goto(f"{url}/docs")
    authorize(page, server.key)
    operation = open_operation(page, CREATE)
    classified(execute(operation), "the page's own example")
    fits(page, f"/docs on {name}")
    page.screenshot(path=folder / f"docs, {name}.png")
    image = sorted(service.IMAGES.glob("*.png"))[0]
    for kind in ["multipart/form-data", "image/*", "application/octet-stream"]:
        operation.locator(".opblock-section-request-body select.content-type").select_option(kind)
        operation.locator("input[type=file]").set_input_files(image)
        classified(execute(operation), f"a file as {kind}")

    # Later answers: the page follows what the first one says.
    operation.locator("tr[data-param-name=Prefer] input").fill("respond-async")
    status, body, headers = execute(operation)
    expect(status == "202", f"`respond-async` answered {status}: {body}")
    there = json.loads(body)["response"]
    address = f"{urlsplit(url).path}/classifier/predictions/{there['prediction_id']}"
    expect(there["status_url"] == address, f"the answer is at {there['status_url']}, expected {address}")
    expect(f"location: {address}" in headers, f"the headers have no `location: {address}`: {headers}")
    read = open_operation(page, "#operations-predictions-read_prediction")
    read.locator("tr[data-param-name=id] input").fill(there["prediction_id"])
    classified(execute(read), "a prediction by its id")

    page.goto(f"{url}/redoc")
    expect(page.locator("article").count() > 20, "/redoc shows next to nothing")
    fits(page, f"/redoc on {name}")
    page.screenshot(path=folder / f"redoc, {name}.png")
    page.click("text=try it out")
    page.wait_for_selector(CREATE)
    expect(not wrong, f"on {name} the browser complains: {wrong}")
    expect(not elsewhere, f"on {name} a page asks for {elsewhere}")
    context.close()
    say(f"page: on {name} `Execute` classifies the example and files in each way; nothing is too wide, amiss or from elsewhere")


def complains(message):
    return message.type in ("error", "warning") and message.text != KNOWN_COMPLAINT


def authorize(page, key):
    page.click("button.btn.authorize")
    page.fill(".modal-ux input", key)
    page.click(".modal-ux button.authorize")
    page.click(".modal-ux button.btn-done")


def open_operation(page, name):
    """Unfolds an operation, ready to be tried out."""
    operation = page.locator(name)
    operation.locator(".opblock-summary-control").click()
    button = operation.locator("button.try-out__btn")
    button.wait_for()
    # The page comes with it switched on, and then the button ends it.
    if button.inner_text() == "Try it out":
        button.click()
    return operation


def execute(operation):
    """Status, body and headers as the page shows them."""
    clear = operation.locator("button.btn-clear")
    if clear.count():
        clear.click()
    operation.locator("button.execute").click()
    row = operation.locator(".live-responses-table tr.response").first
    row.wait_for()
    shown = row.locator(".response-col_description")
    status = row.locator(".response-col_status").inner_text().split()[0]
    return status, shown.locator("pre").first.inner_text(), shown.locator("pre").last.inner_text()


def classified(shown, what):
    status, body, _ = shown
    expect(status == "200", f"{what} answered {status}: {body}")
    result = json.loads(body)["response"]["results"][0]
    expect(result.get("label"), f"{what} has no label: {body}")


def fits(page, what):
    """A page that is wider than the screen has to be pushed to and fro."""
    width, screen = page.evaluate("[document.documentElement.scrollWidth, screen.width]")
    expect(width <= screen, f"{what} is {width} pixels wide, the screen {screen}")
