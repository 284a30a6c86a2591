"""The page in a real browser: what a control room sees, and that nothing leaves the machine."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec
import pytest
from cemd.model.entry import CommandKind
from cemd.model.incident import IncidentState
from cemd.model.notice import CommunicationState
from cemd.model.quality import Quality
from cemd.web.house import ToMend
from cemd.web.server import WebServer
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.conftest import program
from tests.web.scene import LOOKUP, NOW, SceneHouse, rich_views

pytestmark = pytest.mark.needs("chromium")
HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
PATHS = [
    "",
    "incidents/inc-3f2a91c04d7e",
    "incidents/inc-5c40d2f1e6b3",
    "series",
    f"series/{LOOKUP}",
    "explain/inc-3f2a91c04d7e",
]
CONTRAST = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour, under) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const one of [under, colour]) if (one) { canvas.fillStyle = one; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const text = (values) => `rgb(${values.slice(0, 3).join(",")})`;
  const light = (values) => values.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const under = (element) => {
    if (!element) return text(rgba("white"));
    const own = getComputedStyle(element).backgroundColor;
    return text(rgba(own, under(element.parentElement)));
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, noscript, dialog, svg, .skip")) continue;
    const back = under(element), style = getComputedStyle(element);
    const one = light(rgba(style.color, back)), other = light(rgba(back));
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push([ratio.toFixed(2), element.className, walker.currentNode.data]);
  }
  return poor;
}
"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=program("chromium"), args=arguments)
        yield browser
        await browser.close()


class Watched:
    """A page whose complaints and requests are kept."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str | None] = set()
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))


async def opened(browser: Browser, url: str, *, scheme: str = "light", width: int = 1280) -> Watched:
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    context.set_default_timeout(10_000)
    watched = Watched(await context.new_page())
    await watched.page.goto(url)
    await watched.page.wait_for_selector(".panel, .fault[role=alert]:not(:empty)")
    return watched


async def test_the_first_page_shows_what_is_wrong_and_why_and_asks_nobody_else(
    server: WebServer, browser: Browser
) -> None:
    watched = await opened(browser, server.url)
    page = watched.page
    card = page.locator(".incident").first
    await expect(card).to_contain_text("Payment gateway")
    await expect(card).to_contain_text("probable cause")
    await expect(card).to_contain_text("It failed first, 60 s before Top-up.")
    await expect(card).to_contain_text("7 204 of 9 812 customers told")
    await expect(page.locator(".cei")).to_contain_text("uncalibrated")
    await expect(page.locator(".journey").first.locator(".step").nth(2)).to_contain_text("Down")
    await expect(page.locator(".rater tbody tr")).to_have_count(7)
    assert watched.complaints == []
    assert watched.hosts == {"127.0.0.1"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_contrast_enough(server: WebServer, browser: Browser, scheme: str) -> None:
    for path in PATHS:
        watched = await opened(browser, server.url + path, scheme=scheme)
        assert await watched.page.evaluate(CONTRAST) == [], path
        assert watched.complaints == [], path
        await watched.page.close()


@pytest.mark.parametrize("width", [360, 1280, 1920])
async def test_no_width_scrolls_sideways(server: WebServer, browser: Browser, width: int) -> None:
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    for path in PATHS:
        page = (await opened(browser, server.url + path, width=width)).page
        assert await page.evaluate(fits), path
        await page.close()


async def test_every_page_has_one_heading_its_landmarks_and_names(server: WebServer, browser: Browser) -> None:
    unnamed = """() => [...document.querySelectorAll("a, button, input, [role=img]")]
      .filter((one) => one.checkVisibility() && !(one.ariaLabel || one.textContent.trim() || one.labels?.length))
      .map((one) => one.outerHTML)"""
    for path in (*PATHS, "explain"):
        page = (await opened(browser, server.url + path)).page
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)
        await expect(page.get_by_role("main")).to_have_count(1)
        await expect(page.get_by_role("navigation", name="Pages")).to_have_count(1)
        assert await page.evaluate(unnamed) == [], path
        await page.close()


@pytest.mark.parametrize(
    ("quality", "words", "state"),
    [
        (None, "2 of 8 journeys are hurt", "down"),
        (Quality.HEALTHY, "All 8 journeys are well", "healthy"),
        (Quality.AT_RISK, "8 of 8 journeys at risk", "at_risk"),
        (Quality.UNKNOWN, "Nothing is known yet", "unknown"),
    ],
    ids=["as the scene is", "healthy", "at risk", "unknown"],
)
async def test_the_state_of_everything_stands_in_one_sentence(
    browser: Browser, quality: Quality | None, words: str, state: str
) -> None:
    views = rich_views()
    if quality:
        journeys = tuple(msgspec.structs.replace(one, quality=quality) for one in views.analyze.journeys)
        views = replace(views, incidents=(), analyze=msgspec.structs.replace(views.analyze, journeys=journeys))
    server = WebServer(SceneHouse(views), port=0)
    await server.start()
    try:
        page = (await opened(browser, server.url)).page
        await expect(page.get_by_role("heading", level=1)).to_have_text(words)
        await expect(page.locator(f".headline.{state}")).to_be_visible()
        if not quality:
            await expect(page.locator(".headline")).to_contain_text(
                "12 480 customers hurt now".replace(" 480", "\u202f480")
            )
    finally:
        await server.stop()


async def test_a_first_service_is_named_and_what_is_missing_is_said(browser: Browser) -> None:
    views = rich_views()
    (down,) = (one for one in views.analyze.services if one.name == "payment-gateway")
    recovering = msgspec.structs.replace(views.incidents[0], findings=(), clear_since=views.at - 60)
    analyze = msgspec.structs.replace(views.analyze, services=(down,), journeys=(), touchpoints=(), findings=())
    views = replace(
        views,
        incidents=views.incidents[:1],
        analyze=analyze,
        report=msgspec.structs.replace(views.report, customers=0, communications=()),
    )
    house = SceneHouse(views)
    server = WebServer(house, port=0)
    await server.start()
    try:
        page = (await opened(browser, server.url)).page
        heading = page.get_by_role("heading", level=1)
        await expect(heading).to_have_text("Payment gateway: down")
        for words in ("No journey is described yet", "No touchpoint is described yet", "No customer is known"):
            await expect(page.locator("main")).to_contain_text(words)
        well = msgspec.structs.replace(analyze, services=(msgspec.structs.replace(down, quality=Quality.HEALTHY),))
        house.shown = replace(views, analyze=well, incidents=(recovering,))
        house.tick()
        await expect(heading).to_have_text("1 incident open, recovering")
        await expect(page.locator(".incident")).to_contain_text("recovering, all findings ended")
    finally:
        await server.stop()


async def test_explanations_come_by_keyboard_and_by_pointer(server: WebServer, browser: Browser) -> None:
    page = (await opened(browser, server.url)).page
    tip = page.locator("#tip")
    index = page.get_by_role("button", name="Customer experience index")
    await index.focus()
    await expect(tip).to_contain_text("Network (the services that are sold, by what they stand on, 80 % of the weight)")
    await page.keyboard.press("Escape")
    await expect(tip).to_be_hidden()
    await page.get_by_role("button", name="Self-care app, reliability: 49 of 100").hover()
    await expect(tip).to_contain_text("Indicators: reliability-of-touchpoint")


async def test_the_table_is_one_stop_of_tab_and_arrows_walk_in_it(server: WebServer, browser: Browser) -> None:
    page = (await opened(browser, server.url)).page
    first = page.get_by_role("button", name="Shop till, responsiveness")
    await expect(page.locator(".rater .cell:not([tabindex='-1'])")).to_have_count(1)
    await first.focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("button", name="Self-care app, assurance: 58 of 100")).to_be_focused()
    await expect(page.locator("#tip")).to_contain_text("Self-care app, assurance: 58 of 100")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("button", name="Self-care app, responsiveness")).to_be_focused()


async def test_an_explanation_follows_what_it_explains(server: WebServer, browser: Browser, house: SceneHouse) -> None:
    page = (await opened(browser, server.url)).page
    await page.get_by_role("button", name="Customer experience index").focus()
    assert house.shown
    seen = house.shown.analyze
    cei = msgspec.structs.replace(seen.cei, score=12.5)
    house.shown = replace(house.shown, analyze=msgspec.structs.replace(seen, cei=cei))
    house.tick()
    await expect(page.locator("#tip")).to_contain_text("Customer experience index 12.5 of 100")
    await page.get_by_role("link", name="Series").click()
    await expect(page.locator("#tip")).to_be_hidden()


async def test_after_a_relapse_the_page_counts_who_heard_of_it_before(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    assert house.shown
    report = house.shown.report
    first = report.communications[0]
    again = msgspec.structs.replace(first.communication, audience_count=0, state=CommunicationState.TOLD, reopened=1)
    communications = (msgspec.structs.replace(first, communication=again), *report.communications[1:])
    house.shown = replace(house.shown, report=msgspec.structs.replace(report, communications=communications))
    main = (await opened(browser, server.url)).page.locator("main")
    await expect(main).to_contain_text("7 204 customers told")
    await expect(main).not_to_contain_text("nobody told yet")
    await expect(main).not_to_contain_text("of 0")


async def test_a_service_that_nothing_measures_says_that_it_is_green_by_what_it_stands_on(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    assert house.shown
    seen = house.shown.analyze
    services = tuple(
        msgspec.structs.replace(one, own_score=None) if one.name == "ims" else one for one in seen.services
    )
    house.shown = replace(house.shown, analyze=msgspec.structs.replace(seen, services=services))
    well = (await opened(browser, server.url)).page.get_by_role("list", name="Healthy services")
    await expect(well.get_by_text("not measured itself")).to_have_count(1)
    await expect(well.locator("li", has_text="not measured itself")).to_contain_text("Voice core")


async def test_a_service_that_no_file_knows_is_called_so(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    assert house.shown
    seen = house.shown.analyze
    known = tuple(one for one in seen.services if one.name != "dns")
    house.shown = replace(house.shown, analyze=msgspec.structs.replace(seen, services=known))
    main = (await opened(browser, server.url)).page.locator("main")
    await expect(main).to_contain_text("dns (not in the catalogue) at east")


async def test_a_refused_reload_stands_above_everything_with_place_and_remedy(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    what = "The last reload was refused; what was in effect before it still is"
    house.mends = (
        ToMend(what=what, place="probes/shop.yaml:4:5", fact="unknown key <b>", remedy="drop it", since=NOW),
        ToMend(what=what, place="probes/web.yaml:9:1", fact="no probe", remedy="add one", since=NOW),
    )
    watched = await opened(browser, server.url)
    banner = watched.page.locator(".banner").filter(has=watched.page.get_by_role("alert").filter(has_text=what))
    await expect(banner).to_have_count(1)
    await expect(banner.get_by_role("listitem")).to_have_count(2)
    await expect(banner).to_contain_text("probes/shop.yaml:4:5: unknown key <b>; drop it. Since 23:26")
    assert await watched.page.evaluate(CONTRAST) == []
    await banner.get_by_text(
        "2 to mend"
    ).click()  # read: what is hurt comes first again, and the next tick leaves it so
    house.tick()
    await expect(banner.get_by_role("listitem")).to_have_count(0)
    house.mends = ()
    house.tick()
    await expect(banner).to_have_count(0)
    assert watched.complaints == []


async def test_a_site_is_called_by_its_title(server: WebServer, browser: Browser, house: SceneHouse) -> None:
    assert house.shown
    seen = msgspec.structs.replace(house.shown.analyze, site_titles={"east": "The east", "west": "The west"})
    house.shown = replace(house.shown, analyze=seen)
    main = (await opened(browser, server.url)).page.locator("main")
    await expect(main).to_contain_text("Resolvers at The east")
    await expect(main).to_contain_text("Broadband at The east")
    await expect(main).not_to_contain_text("at east")


async def test_an_incident_that_is_over_keeps_its_evidence(server: WebServer, browser: Browser) -> None:
    watched = await opened(browser, f"{server.url}incidents/inc-5c40d2f1e6b3")
    main = watched.page.locator("main")
    await expect(main.locator("h1")).to_have_text("OverSubscriber database")
    await expect(main).to_contain_text("first noticed on Subscriber register")
    await expect(main.locator(".proof")).to_have_count(1)
    await expect(main.locator(".proof")).to_contain_text("at worst")
    await expect(main.locator(".proof svg.chart .chart-shade")).to_be_attached()
    await expect(main.locator(".timeline li").last).to_have_text("20:26:40 CETSubscriber register is degraded.")
    await expect(main.get_by_role("button", name="Acknowledge")).to_have_count(0)
    assert watched.complaints == []


async def test_series_begin_with_what_is_least_usual(server: WebServer, browser: Browser) -> None:
    watched = await opened(browser, f"{server.url}series")
    page = watched.page
    first = page.locator(".notables li").first
    await expect(first).to_contain_text("payment-charge success")
    await expect(first).to_contain_text("as rare as 1 in")
    await expect(first.locator("svg.trace .trace-band")).to_be_attached()
    await page.get_by_label("Find by name").fill("no such thing")
    await expect(page.get_by_role("status")).to_contain_text("No series has all these words")
    assert watched.complaints == []


@pytest.mark.parametrize("width", [390, 1920])
async def test_words_in_a_chart_have_the_size_of_words(
    server: WebServer, browser: Browser, house: SceneHouse, width: int
) -> None:
    page = (await opened(browser, f"{server.url}series/{LOOKUP}", width=width)).page
    await expect(page.locator("svg.chart")).to_be_visible()
    house.tick()
    height = "() => document.querySelector('svg.chart text').getBoundingClientRect().height"
    await page.wait_for_function(f"() => Math.abs(({height})() - 14) < 3")


async def test_acknowledging_by_keyboard_reaches_the_house_and_shows(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    page = (await opened(browser, server.url)).page
    await page.get_by_role("button", name="Acknowledge").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Your name")).to_be_focused()
    await page.keyboard.type("ines")
    await page.keyboard.press("Enter")
    await expect(page.locator(".incident").first).to_contain_text("Acknowledged by ines")
    assert [(one.kind, one.actor) for one in house.commands] == [(CommandKind.ACKNOWLEDGE, "ines")]


async def test_a_probe_is_run_now_and_the_new_measurement_is_shown_when_it_comes(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    watched = await opened(browser, f"{server.url}series/{LOOKUP}")
    page = watched.page
    said = page.locator(".run").get_by_role("status")
    await page.get_by_role("button", name="Run now").click()
    await page.get_by_label("Your name").fill("ines")
    await page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    await expect(said).to_have_text("Asked; waiting for what it measures.")
    house.measure()
    await expect(said).to_contain_text("New measurement: 71 ms")
    assert [(one.kind, one.subject) for one in house.commands] == [(CommandKind.RUN, "resolver-east")]
    assert watched.complaints == []


@pytest.mark.parametrize(
    ("probers", "active", "words"), [(0, True, "No prober was there"), (1, False, "outside of its times")]
)
async def test_a_run_that_will_not_be_is_said(
    server: WebServer, browser: Browser, house: SceneHouse, probers: int, active: bool, words: str
) -> None:
    house.probers, house.active = probers, active
    page = (await opened(browser, f"{server.url}series/{LOOKUP}")).page
    await page.get_by_role("button", name="Run now").click()
    await page.get_by_label("Your name").fill("ines")
    await page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    await expect(page.locator(".run").get_by_role("status")).to_contain_text(words)


async def test_the_kill_switch_asks_first_and_then_says_so_loudly(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    page = (await opened(browser, server.url)).page
    await page.get_by_role("button", name="Stop all messages").click()
    await page.get_by_role("button", name="Back").click()
    assert house.commands == []
    await page.get_by_role("button", name="Stop all messages").click()
    await page.get_by_label("Your name").fill("ines")
    await page.get_by_role("dialog").get_by_role("button", name="Stop all messages").click()
    words = "All messages to customers are stopped by ines since 23:26:41 CET."
    await expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    await expect(page.locator("#kill")).to_be_hidden()
    await page.get_by_role("button", name="Resume").click()
    await page.get_by_role("dialog").get_by_role("button", name="Resume messages").click()
    await expect(page.locator("#kill")).to_be_visible()
    assert [one.kind for one in house.commands] == [CommandKind.KILL, CommandKind.UNKILL]


async def test_a_token_is_asked_for_where_one_is_needed(server: WebServer, browser: Browser, house: SceneHouse) -> None:
    house.secret = b"open-sesame"
    house.tick()
    page = (await opened(browser, server.url)).page
    await page.get_by_role("button", name="Acknowledge").click()
    await page.get_by_label("Your name").fill("ines")
    await page.get_by_label("Token").fill("wrong")
    await page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    await expect(page.locator("#ask-fault")).to_contain_text("no valid token")
    await page.get_by_label("Token").fill("open-sesame")
    await page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    await expect(page.locator(".incident").first).to_contain_text("Acknowledged by ines")


async def test_a_page_without_news_says_that_it_is_stale(house: SceneHouse, browser: Browser) -> None:
    server = WebServer(house, port=0, stale_after_seconds=1.5)
    await server.start()
    try:
        page = (await opened(browser, server.url)).page
        stale = page.get_by_role("alert").filter(has_text="Stale.")
        await expect(stale).to_contain_text("What you see is from 23:26:40", timeout=10_000)
        await expect(page.locator("main")).to_have_css("filter", "grayscale(1)")
        house.tick()
        await expect(stale).to_have_count(0)
        await expect(page.locator("main")).to_have_css("filter", "none")
    finally:
        await server.stop()
    await expect(stale).to_be_visible(timeout=10_000)


async def test_what_is_not_there_is_said_once_with_the_way_back(server: WebServer, browser: Browser) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{server.url}incidents/inc-nowhere")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    await expect(page.get_by_text("nobody knows 'inc-nowhere'")).to_have_count(1)
    await page.get_by_role("main").get_by_role("link", name="Overview").click()
    await expect(page.locator(".incident").first).to_be_visible()


async def test_before_the_first_view_the_page_says_so_and_fills_by_itself(browser: Browser) -> None:
    house = SceneHouse(None)
    server = WebServer(house, port=0)
    await server.start()
    try:
        page = await (await browser.new_context()).new_page()
        await page.goto(server.url)
        await expect(page.get_by_role("heading", level=1)).to_have_text("No data yet")
        house.shown = rich_views()
        await expect(page.locator(".incident").first).to_be_visible(timeout=10_000)
    finally:
        await server.stop()


async def test_new_views_change_the_page_in_place(server: WebServer, browser: Browser, house: SceneHouse) -> None:
    page = (await opened(browser, server.url)).page
    card = await page.query_selector(".incident")
    assert card
    await page.locator("details.over summary").first.click()
    house.tick(120)
    await expect(page.locator(".incident").first).to_contain_text("for 17 min")
    assert await card.evaluate("(card) => card.isConnected"), "the same element, no flicker"
    assert await page.locator("details.over").first.get_attribute("open") is not None, "what was opened stays open"


async def test_evidence_leads_to_the_chart_with_its_band(server: WebServer, browser: Browser) -> None:
    watched = await opened(browser, server.url)
    page = watched.page
    await page.get_by_role("link", name="Resolvers at east: lookup-p95").click()
    await expect(page.locator(".named h2")).to_have_text("resolver-east lookup_seconds")
    await expect(page.locator("svg.chart .chart-band").first).to_be_attached()
    await expect(page.locator("svg.chart .chart-threshold")).to_be_attached()
    for words in ("measured", "expected range", "expected value", "objective", "failed attempt", "could not look"):
        await expect(page.locator(".key")).to_contain_text(words)
    await page.get_by_label("Find by name").fill("core loss")
    await expect(page.locator(".picker li")).to_have_count(1)
    await page.go_back()
    await expect(page.locator(".incident").first).to_be_visible()
    assert watched.complaints == []


async def test_an_incident_has_its_own_page_with_time_line_and_rivals(server: WebServer, browser: Browser) -> None:
    watched = await opened(browser, f"{server.url}incidents/inc-3f2a91c04d7e")
    main = watched.page.locator("main")
    for words in (
        "Confirmed by quorum",
        "fails only where it needs Payment gateway",
        "Top up the balance: Pay",
        "quiet hours",
        "Route noc, by desk: told of it",
        "Route night, by pager: not told so far",
        "Nobody has acknowledged it yet.",
    ):
        await expect(main).to_contain_text(words)
    await expect(main.locator("svg.chart")).to_have_count(2)
    await watched.page.get_by_role("link", name="Explain: the chain").click()
    await expect(main).to_contain_text("fnd-71c2aa30b1e4")
    assert watched.complaints == []


async def test_an_incident_offers_only_what_can_be_done_with_it(
    server: WebServer, house: SceneHouse, browser: Browser
) -> None:
    page = (await opened(browser, f"{server.url}incidents/inc-3f2a91c04d7e")).page
    await expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    await expect(page.get_by_role("button", name="Close", exact=True)).to_have_count(0)
    assert house.shown is not None
    resolved = tuple(msgspec.structs.replace(one, state=IncidentState.RESOLVED) for one in house.shown.incidents)
    house.shown = replace(house.shown, incidents=resolved)
    house.tick()
    await expect(page.get_by_role("button", name="Close", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


async def test_hostile_names_are_only_text(browser: Browser) -> None:
    views = rich_views()
    seen = views.analyze
    spoilt = msgspec.structs.replace(
        seen,
        services=tuple(msgspec.structs.replace(one, title=HOSTILE) for one in seen.services),
        journeys=tuple(msgspec.structs.replace(one, title=HOSTILE, owner=HOSTILE) for one in seen.journeys),
        touchpoints=tuple(msgspec.structs.replace(one, title=HOSTILE) for one in seen.touchpoints),
    )
    incidents = tuple(
        msgspec.structs.replace(
            one, acknowledged_by=HOSTILE, cause=msgspec.structs.replace(one.cause, reasons=(HOSTILE,))
        )
        for one in views.incidents
    )
    series = tuple(
        msgspec.structs.replace(one, key=msgspec.structs.replace(one.key, target=HOSTILE))
        for one in views.series.series
    )
    house = SceneHouse(replace(views, analyze=spoilt, incidents=incidents, series=replace(views.series, series=series)))
    house.operator = HOSTILE
    server = WebServer(house, port=0)
    await server.start()
    try:
        for path in (
            "",
            "incidents/inc-3f2a91c04d7e",
            f"series/{LOOKUP}",
            "explain/%3Cimg%20src=x%20onerror=alert(1)%3E",
        ):
            watched = await opened(browser, server.url + path)
            assert await watched.page.evaluate("window.hurt") is None
            assert await watched.page.locator("main img").count() == 0
            assert await watched.page.locator("#operator").text_content() == HOSTILE
            assert watched.hosts == {"127.0.0.1"}
    finally:
        await server.stop()


async def test_the_theme_can_be_chosen_and_is_kept(server: WebServer, browser: Browser) -> None:
    page = (await opened(browser, server.url)).page
    await page.get_by_role("button", name="Theme").click()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_what_is_at_risk_without_an_incident_says_why_and_can_be_labelled(browser: Browser) -> None:
    views = rich_views()
    views = replace(views, incidents=tuple(msgspec.structs.replace(one, findings=()) for one in views.incidents))
    server = WebServer(SceneHouse(views), port=0)
    await server.start()
    try:
        page = (await opened(browser, server.url)).page
        warnings = page.get_by_role("region", name="Warnings")
        await expect(warnings).to_contain_text("3 in no open incident")
        await expect(warnings).to_contain_text("total time anomaly")
        await expect(warnings.get_by_role("link", name="explain fnd-0f3d4410cc87")).to_be_visible()
        await expect(warnings.get_by_role("button", name="New normal")).to_have_count(1)
    finally:
        await server.stop()


async def test_vantage_points_stand_with_when_they_were_heard(browser: Browser) -> None:
    server = WebServer(SceneHouse(rich_views()), port=0)
    await server.start()
    try:
        watched = await opened(browser, server.url)
        panel = watched.page.get_by_role("region", name="Vantage points")
        await expect(panel).to_contain_text("2 of 4 not heard")
        await expect(panel.locator("li").nth(0)).to_contain_text("Home")
        await expect(panel.locator("li").nth(0)).to_contain_text("heard 1 s ago")
        await expect(panel.locator("li").nth(1)).to_contain_text("nothing since ")
        await expect(panel.locator("li").nth(2)).to_contain_text("never heard, waited for since ")
        assert await watched.page.evaluate(CONTRAST) == []
        assert watched.complaints == []
    finally:
        await server.stop()


async def test_a_value_that_is_not_of_now_says_how_old_it_is(browser: Browser) -> None:
    views = rich_views()
    views = replace(views, incidents=tuple(msgspec.structs.replace(one, findings=()) for one in views.incidents))
    [slow] = [one for one in views.analyze.findings if one.id == "fnd-0f3d4410cc87"]
    [row] = [place for place, one in enumerate(views.series.series) if one.id == slow.evidence.series[0]]
    views.series.last_at[row] = views.at - 900.0
    server = WebServer(SceneHouse(views), port=0)
    await server.start()
    try:
        page = (await opened(browser, server.url)).page
        await expect(page.get_by_role("region", name="Warnings")).to_contain_text("last 4.8 s, 15 min ago")
        await page.goto(f"{server.url}series/{slow.evidence.series[0]}")
        await expect(page.locator(".facts")).to_contain_text(", 15 min ago")
    finally:
        await server.stop()


async def test_since_when_a_finding_shows_stands_beside_when_it_was_found(browser: Browser) -> None:
    views = rich_views()
    views = replace(views, incidents=tuple(msgspec.structs.replace(one, findings=()) for one in views.incidents))
    first, *others = views.analyze.findings
    shown = msgspec.structs.replace(first.evidence, since=first.began_at - 60.0)
    found = (msgspec.structs.replace(first, evidence=shown), *others)
    server = WebServer(
        SceneHouse(replace(views, analyze=msgspec.structs.replace(views.analyze, findings=found))), port=0
    )
    await server.start()
    try:
        page = (await opened(browser, server.url)).page
        warnings = page.get_by_role("region", name="Warnings")
        await expect(warnings).to_contain_text(re.compile(r"since \d\d:\d\d:\d\d .*, found \d\d:\d\d:\d\d"))
    finally:
        await server.stop()


async def test_why_a_finding_opens_no_incident_yet_stands_beside_it(browser: Browser) -> None:
    views = rich_views()
    (lookup,) = [one for one in views.analyze.findings if one.id == "fnd-0f3d4410cc87"]
    others = tuple(msgspec.structs.replace(one, findings=()) for one in views.incidents)
    said = "only probe-dns says so; probe-portal would show it too."
    house = SceneHouse(replace(views, incidents=others, waits={lookup.id: said}))
    server = WebServer(house, port=0)
    await server.start()
    try:
        watched = await opened(browser, server.url)
        warnings = watched.page.get_by_role("region", name="Warnings")
        await expect(warnings.get_by_text("Opens no incident yet: ")).to_have_count(1)
        await expect(warnings).to_contain_text(f"Opens no incident yet: {said}")
        assert await watched.page.evaluate(CONTRAST) == []
        assert watched.complaints == []
    finally:
        await server.stop()


async def test_who_is_not_told_yet_or_in_shadow_is_said_so(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    page = (await opened(browser, server.url)).page
    await expect(page.get_by_role("region", name="Warnings")).to_have_count(0)
    shadow = page.locator(".communication").nth(1)
    await expect(shadow).to_contain_text("0 told, for nothing leaves in shadow")
    views = rich_views()
    first, *others = views.report.communications
    holding = msgspec.structs.replace(first.communication, state=CommunicationState.HOLDING)
    held = msgspec.structs.replace(first, communication=holding, told=0)
    unsure = tuple(msgspec.structs.replace(one, confirmed_at=None) for one in views.incidents)
    report = msgspec.structs.replace(views.report, communications=(held, *others))
    house.shown = replace(views, report=report, incidents=unsure)
    house.tick()
    await expect(page.locator(".communication").first).to_contain_text("another independent source that sees it")


async def test_nobody_is_said_to_be_told_while_every_notice_is_on_its_way(
    server: WebServer, browser: Browser, house: SceneHouse
) -> None:
    page = (await opened(browser, server.url)).page
    views = rich_views()
    first, *others = views.report.communications
    core_says_told = msgspec.structs.replace(first.communication, state=CommunicationState.TOLD)
    for tick, told, way, lost, said, not_said in (
        (1, 40, 9_772, 0, "Told", "Telling"),
        (2, 0, 9_812, 0, "Telling", "Told"),
        (3, 0, 0, 9_812, "Unknown", "Told"),
    ):
        found = {"communication": core_says_told, "told": told, "in_flight": way, "unknown": lost}
        view = msgspec.structs.replace(first, **found)
        report = msgspec.structs.replace(views.report, communications=(view, *others))
        house.shown = replace(views, report=report, seq=views.seq + tick)
        header = page.locator(".communication").first.locator("header")
        await expect(header).to_contain_text(said)
        await expect(header).not_to_contain_text(not_said)
