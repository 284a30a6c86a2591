"""What customers get done while a probe says "failed", counted since then and not before."""

from __future__ import annotations

import numpy as np
import pytest
from cemd.analyze.hearing import CONFIRMS_SECONDS
from cemd.config.rules import Indicator, Objective, Score, Selector, Summary
from cemd.model.finding import Condition, FindingPhase, Heard
from cemd.model.measurement import Series
from cemd.model.quality import Dimension

from tests.analyze.world import World, configuration, series, success_indicator

STEPS = "http:journeys"
EVERY_SECONDS = 20


def steps(serial: int = 5, **labels: str) -> Series:
    return series(serial, STEPS, "step_success_ratio", source=STEPS, **labels)


def steps_done(**changes: object) -> Indicator:
    given: dict[str, object] = {
        "name": "steps-done",
        "of": Selector(source=STEPS, metric="step_success_ratio"),
        "summary": Summary.MEAN,
        "window_seconds": 900.0,
        "dimension": Dimension.ASSURANCE,
        "score": Score(worst=0.5, best=1.0),
        "objective": Objective(at_least=0.0, warn_at=0.2, for_seconds=30.0),
        "source": "test",
    }
    return Indicator.model_validate({**given, **changes})


class Shop(World):
    """A probe of `payment` at the app, and customers whose steps are pushed."""

    def __init__(self, pushed: Series | None = None, attempts: int = 50) -> None:
        self.pushed = pushed or steps(service="payment", touchpoint="app")
        known = [series(0, "pay-web", "success"), self.pushed]
        super().__init__(configuration(indicators=[success_indicator(), steps_done()]), known)
        self.attempts = attempts
        self.draw = np.random.default_rng(7)

    def live(self, seconds: float, *, probe: float = 1.0, fails: float = 0.02) -> None:
        """Time passes: the probe measures `probe`, and of each customer's attempts so many fail."""
        end = self.now + seconds
        while self.now < end:
            self.samples((self.series[("pay-web", "success")], probe))
            if self.now % EVERY_SECONDS < 10:
                share = 1.0 - self.draw.binomial(self.attempts, fails) / self.attempts
                self.samples((self.pushed, share), source=STEPS)
            for _ in range(5):
                self.tick(2.0)

    def heard(self) -> tuple[Heard, ...]:
        [finding] = self.open(Condition.OBJECTIVE_BROKEN)
        return finding.evidence.heard


def test_only_what_came_since_counts() -> None:
    shop = Shop()
    shop.live(1200.0)
    shop.live(300.0, probe=0.0, fails=1.0)
    [heard] = shop.heard()
    assert (heard.indicator, heard.service, heard.value) == ("steps-done", "payment", 0.0)
    assert heard.usual > 0.9, "what was before"


def test_who_get_it_done_all_the_while_are_heard_as_well() -> None:
    shop = Shop()
    shop.live(1200.0)
    shop.live(300.0, probe=0.0)
    [heard] = shop.heard()
    assert heard.value == pytest.approx(0.98, abs=0.02)


def test_what_the_window_forgets_is_counted_in_all() -> None:
    shop = Shop()
    shop.live(1200.0)
    shop.live(300.0, probe=0.0, fails=1.0)
    [before] = shop.heard()
    assert (before.in_all, before.attempts_in_all) == (before.value, before.attempts)
    shop.live(1500.0, probe=0.0, fails=0.0)
    [heard] = shop.heard()
    assert heard.value == 1.0
    assert heard.attempts_in_all == pytest.approx(2.0 * heard.attempts, rel=0.1), "of 30 minutes, not of 15"
    assert heard.in_all == pytest.approx(1500 / 1800, abs=0.03)


@pytest.mark.parametrize("attempts", [10, 200])
def test_how_much_a_share_wanders_says_how_many_attempts_it_is_worth(attempts: int) -> None:
    shop = Shop(attempts=attempts)
    shop.live(4000.0)
    shop.live(300.0, probe=0.0)
    [heard] = shop.heard()
    assert heard.per_second * EVERY_SECONDS == pytest.approx(attempts, rel=0.4)
    assert 3 * attempts < heard.attempts < 20 * attempts


def test_an_outage_of_some_makes_the_share_worth_no_less_afterwards() -> None:
    shop = Shop(attempts=100)
    shop.live(6000.0)
    shop.live(1200.0, fails=0.2)
    shop.live(1000.0)
    shop.live(200.0, probe=0.0)
    [heard] = shop.heard()
    assert heard.usual == pytest.approx(0.98, abs=0.01)
    assert heard.worth > 50


def test_what_only_recovers_is_not_mixed() -> None:
    shop = Shop()
    shop.live(1200.0)
    shop.live(300.0, probe=0.0)
    shop.live(60.0)
    assert not any(one.evidence.mixed for one in shop.found if one.condition is Condition.OBJECTIVE_BROKEN)


def test_a_share_that_never_wandered_is_worth_one_attempt_a_sample() -> None:
    shop = Shop()
    shop.live(1200.0, fails=0.0)
    shop.live(200.0, probe=0.0, fails=0.0)
    [heard] = shop.heard()
    assert heard.attempts < 10


def test_what_is_usual_is_as_it_was_before_however_long_it_lasts_and_however_bad_it_becomes() -> None:
    shop = Shop()
    shop.live(1200.0)
    shop.live(1200.0, probe=0.0, fails=1.0)
    mine = [one for one in shop.found if one.condition is Condition.OBJECTIVE_BROKEN]
    assert FindingPhase.CHANGED in [one.phase for one in mine], "it became worse"
    assert len({(one.evidence.heard[0].usual, one.evidence.heard[0].worth) for one in mine}) == 1


def test_what_failed_already_before_it_began_is_usual() -> None:
    shop = Shop()
    shop.live(3000.0)
    shop.live(900.0, fails=0.5)  # somebody tries without end, or another fault
    shop.live(200.0, probe=0.0, fails=0.5)
    [heard] = shop.heard()
    assert heard.usual == pytest.approx(0.5, abs=0.1)


def test_an_open_finding_is_stated_anew_with_what_is_heard_and_nothing_has_changed() -> None:
    shop = Shop()
    shop.live(1200.0)
    shop.live(300.0, probe=0.0)
    mine = [one for one in shop.found if one.condition is Condition.OBJECTIVE_BROKEN]
    anew = [one for one in mine if one.phase is FindingPhase.OPEN]
    assert len(anew) > 5
    attempts = [one.evidence.heard[0].attempts for one in mine]
    assert attempts == sorted(attempts)
    assert len({one.id for one in mine}) == 1


def test_nobody_listens_for_long_where_not_everything_fails() -> None:
    shop = Shop()
    shop.live(1200.0)
    shop.live(200.0, probe=0.0)
    shop.live(10.0, probe=1.0)
    shop.live(30.0, probe=0.0)
    assert shop.open(Condition.OBJECTIVE_BROKEN)[0].evidence.mixed
    stated = len(shop.found)
    shop.live(200.0, probe=0.0)
    assert FindingPhase.OPEN in [one.phase for one in shop.found[stated:]], "they may agree with it"
    shop.live(CONFIRMS_SECONDS, probe=0.0)
    stated = len(shop.found)
    shop.live(200.0, probe=0.0)
    later = [one for one in shop.found[stated:] if one.condition is Condition.OBJECTIVE_BROKEN]
    assert [one for one in later if one.phase is FindingPhase.OPEN] == []


@pytest.mark.parametrize(
    "pushed",
    [steps(service="core"), steps(service="payment", touchpoint="web")],
    ids=["what-it-stands-on", "another-touchpoint"],
)
def test_what_is_pushed_of_something_else_is_not_heard(pushed: Series) -> None:
    shop = Shop(pushed)
    shop.live(1200.0)
    shop.live(200.0, probe=0.0)
    assert shop.heard() == ()


def test_what_is_not_known_long_enough_is_not_heard() -> None:
    shop = Shop()
    shop.live(400.0)
    shop.live(150.0, probe=0.0)
    assert shop.heard() == ()


@pytest.mark.parametrize("before", [False, True], ids=["while-it-fails", "before-it-fails"])
def test_a_restart_hears_the_same(*, before: bool) -> None:
    heard = []
    for restarts in (False, True):
        shop = Shop()
        shop.live(1200.0)
        if restarts and before:
            shop.restart()
        shop.live(150.0, probe=0.0)
        if restarts and not before:
            shop.restart()
        shop.live(150.0, probe=0.0)
        heard.append(shop.heard())
    assert heard[0] == heard[1]
    assert heard[0]


def test_customers_of_what_stands_on_it_are_heard_as_well() -> None:
    shop = Shop(steps(service="top-up", touchpoint="app"))
    shop.live(1200.0)
    shop.live(300.0, probe=0.0, fails=1.0)
    [heard] = shop.heard()
    assert (heard.service, heard.value) == ("top-up", 0.0)


def test_customers_are_heard_of_whatever_objective_broke_and_not_only_of_what_failed() -> None:
    shop = Shop()
    slow = success_indicator(
        of=Selector(metric="success", probe="pay-web"), name="slow", objective=Objective(at_least=0.9, for_seconds=60.0)
    )
    delay = slow.model_copy(update={"of": Selector(metric="total_seconds"), "summary": Summary.P95, "name": "delay"})
    delay = delay.model_copy(update={"objective": Objective(at_most=1.0, for_seconds=30.0)})
    known = [series(0, "pay-web", "total_seconds"), shop.pushed]
    World.__init__(shop, configuration(indicators=[delay, steps_done()]), known)
    shop.series = dict.fromkeys([("pay-web", "success")], known[0])  # what is measured is how long it takes
    shop.live(1200.0, probe=0.3)
    shop.live(300.0, probe=5.0, fails=0.5)
    [heard] = shop.heard()
    assert heard.value == pytest.approx(0.5, abs=0.1)


def test_findings_that_broke_at_one_instant_hear_the_same_words() -> None:
    """One object for all of them: thousands of them say it again every quarter of a minute."""
    twice = [success_indicator(), success_indicator(name="answers")]
    known = [series(0, "pay-web", "success"), steps(service="payment")]
    world = World(configuration(indicators=[*twice, steps_done()]), known)
    draw = np.random.default_rng(7)
    for second in range(0, 1600, 10):
        hurt = second >= 1200
        world.samples((known[0], 0.0 if hurt else 1.0))
        world.samples((known[1], 1.0 - draw.binomial(50, 0.5 if hurt else 0.02) / 50), source=STEPS)
        for _ in range(5):
            world.tick(2.0)
    one, other = world.open(Condition.OBJECTIVE_BROKEN)
    [heard], [same] = one.evidence.heard, other.evidence.heard
    assert one.evidence.since == other.evidence.since
    assert heard is same
    assert heard.value == pytest.approx(0.5, abs=0.1)
