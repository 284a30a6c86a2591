"""The promises, one named function each: what no fault, kill, lie or reload may break.

A promise yields a sentence for each way in which it is broken now. It reads the book (a witness outside the process)
and, where the promise is about the core's own state, the core. The first paragraph of each docstring is the promise, in
brackets the section of the design it comes from; `docs/promises.md` lists the same words.
"""

from __future__ import annotations

from cemd.simulation.promises.delivery import (
    informational_is_submitted_at_most_once,
    nothing_leaves_after_the_kill_switch,
    nothing_leaves_before_its_row,
    nothing_stays_due,
    only_what_did_not_leave_goes_out_again,
    unknown_is_bounded_by_what_was_in_flight,
    what_did_not_leave_stays_due,
)
from cemd.simulation.promises.ends import (
    everyone_told_hears_one_end,
    no_second_first,
    over_only_after_it_was_stable,
    over_only_to_the_told,
)
from cemd.simulation.promises.keeping import (
    a_clock_set_while_down_is_said,
    a_refused_reload_changes_nothing,
    a_reload_forgets_nothing,
    a_settled_notice_stays_settled,
    acknowledged_is_never_lost,
    an_entry_that_kills_twice_is_set_aside,
    loaded_equals_lived,
    replay_decides_the_same,
)
from cemd.simulation.promises.moments import Promise
from cemd.simulation.promises.order import (
    a_firing_that_was_sent_gets_its_resolve,
    applied_seq_never_goes_back,
    blindness_never_hurts,
    everything_carries_its_evidence,
    findings_arise_at_ticks,
    incidents_follow_the_published_transitions,
    order_never_goes_back,
    rows_before_effects,
    runs_asked_for_are_bounded,
    the_core_never_fails,
)
from cemd.simulation.promises.people import (
    a_service_is_told_once,
    an_address_hears_once,
    caps_hold,
    lawful_basis_is_recorded,
    never_over_the_broken_channel,
    nobody_abroad_by_home_site,
    nobody_on_the_line_is_told,
    quiet_hours_hold,
    some_are_never_told,
)
from cemd.simulation.promises.release import (
    decided_by_the_deadline,
    first_needs_confirmation,
    held_sending_stays_held,
    nobody_hears_before_it_is_watched_again,
    nobody_hears_of_what_is_over,
    only_live_policies_send,
    only_the_hurt_hear_first,
    the_ceiling_holds,
    the_kill_switch_stops_everything,
)
from cemd.simulation.promises.watching import (
    a_silent_vantage_point_silences_no_service,
    a_vantage_point_that_is_not_heard_is_said,
)

AT_STEP: tuple[Promise, ...] = (
    order_never_goes_back,
    applied_seq_never_goes_back,
    rows_before_effects,
    incidents_follow_the_published_transitions,
    blindness_never_hurts,
    runs_asked_for_are_bounded,
    findings_arise_at_ticks,
    everything_carries_its_evidence,
    a_reload_forgets_nothing,
    what_did_not_leave_stays_due,
    unknown_is_bounded_by_what_was_in_flight,
    a_silent_vantage_point_silences_no_service,
)
AT_TICK: tuple[Promise, ...] = (decided_by_the_deadline, a_vantage_point_that_is_not_heard_is_said)
AT_WRITE: tuple[Promise, ...] = (
    only_live_policies_send,
    the_kill_switch_stops_everything,
    held_sending_stays_held,
    the_ceiling_holds,
    nobody_hears_of_what_is_over,
    nobody_hears_before_it_is_watched_again,
    only_the_hurt_hear_first,
    over_only_after_it_was_stable,
    first_needs_confirmation,
    quiet_hours_hold,
    lawful_basis_is_recorded,
    some_are_never_told,
    nobody_abroad_by_home_site,
    nobody_on_the_line_is_told,
    caps_hold,
    never_over_the_broken_channel,
    an_address_hears_once,
    a_service_is_told_once,
    no_second_first,
    over_only_to_the_told,
)
AT_AGAIN: tuple[Promise, ...] = (only_what_did_not_leave_goes_out_again,)
AT_SEND: tuple[Promise, ...] = (
    nothing_leaves_before_its_row,
    informational_is_submitted_at_most_once,
    nothing_leaves_after_the_kill_switch,
)
AT_BIRTH: tuple[Promise, ...] = (an_entry_that_kills_twice_is_set_aside,)
AT_START: tuple[Promise, ...] = (
    acknowledged_is_never_lost,
    loaded_equals_lived,
    a_settled_notice_stays_settled,
)
AT_BEGUN: tuple[Promise, ...] = (a_clock_set_while_down_is_said,)
AT_END: tuple[Promise, ...] = (
    replay_decides_the_same,
    a_firing_that_was_sent_gets_its_resolve,
    everyone_told_hears_one_end,
    nothing_stays_due,
)
AT_RELOAD: tuple[Promise, ...] = (a_refused_reload_changes_nothing,)
AT_FAILURE: tuple[Promise, ...] = (the_core_never_fails,)
PROMISES: tuple[Promise, ...] = (
    *AT_STEP,
    *AT_TICK,
    *AT_WRITE,
    *AT_AGAIN,
    *AT_SEND,
    *AT_BIRTH,
    *AT_START,
    *AT_BEGUN,
    *AT_RELOAD,
    *AT_FAILURE,
    *AT_END,
)


def words_of(promise: Promise) -> str:
    """What is promised, on one line."""
    return " ".join((promise.__doc__ or "").split())
