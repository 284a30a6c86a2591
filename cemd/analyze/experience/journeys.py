"""Predicted journey health: from what the steps need. What customers really do (observed health) comes with their
events.

Step: the weakest of its needs, or their mean, as declared. Journey: alpha·min + beta·last + (1 - alpha - beta)·mean
over the steps, moments of truth weighted; a moment of truth that is down caps its journey. What is unknown is left out
and shows in the coverage; below the floor the journey's score is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from cemd.analyze.experience.health import Healths, mean
from cemd.config.catalogue import Journey, Step, StepSummary
from cemd.config.rules import Cei
from cemd.config.topology import Topology
from cemd.model.quality import Quality, worst
from cemd.model.view import JourneyView, StepView


def episode(scores: Sequence[tuple[float | None, float]], cei: Cei) -> tuple[float | None, float]:
    """alpha·min + beta·last + rest·mean over (score, weight) of the steps in order, and the coverage.

    The last is the last of all steps: while it is unknown, its share goes to the other two.
    """
    average, coverage = mean(scores)
    known = [score for score, _ in scores if score is not None]
    if average is None:
        return None, coverage
    return mean(
        [
            (min(known), cei.alpha_min),
            (scores[-1][0], cei.beta_last),
            (average, max(0.0, 1.0 - cei.alpha_min - cei.beta_last)),
        ]
    )[0], coverage


def step_view(step: Step, topology: Topology, healths: Healths) -> StepView:
    """One step from the services that it stands on."""
    needs = [healths.of(name) for name in topology.step_needs(step)]
    known = [one for one in needs if one.score is not None]
    average, coverage = mean((one.score, 1.0) for one in needs)
    weakest = min(known, key=lambda one: one.score or 0.0, default=None)
    quality = worst([one.quality for one in needs])
    score = weakest.score if weakest and step.summary is StepSummary.WEAKEST else average
    return StepView(
        name=step.name,
        title=step.title or step.name,
        touchpoint=step.touchpoint,
        moment_of_truth=step.moment_of_truth,
        quality=quality,
        score=score,
        coverage=coverage,
        weakest=weakest.weakest if weakest and quality not in (Quality.HEALTHY, Quality.UNKNOWN) else "",
    )


def journey_view(journey: Journey, topology: Topology, healths: Healths, cei: Cei) -> JourneyView:
    steps = tuple(step_view(step, topology, healths) for step in journey.steps)
    weighted = [
        (view.score, step.weight * (cei.moment_of_truth_weight if step.moment_of_truth else 1.0))
        for view, step in zip(steps, journey.steps, strict=True)
    ]
    score, _ = episode(weighted, cei)
    total = sum(weight for _, weight in weighted)
    coverage = sum(view.coverage * weight for view, (_, weight) in zip(steps, weighted, strict=True)) / total
    capped = any(view.moment_of_truth and view.quality is Quality.DOWN for view in steps)
    if capped and score is not None:
        score = min(score, cei.moment_of_truth_cap)
    quality = worst([view.quality for view in steps])
    if coverage < cei.coverage_floor:
        score = None
        quality = Quality.UNKNOWN if quality is Quality.HEALTHY else quality
    process = next((one for one in topology.configuration.processes if one.name == journey.process), None)
    return JourneyView(
        name=journey.name,
        title=journey.title or journey.name,
        macro_journey=journey.macro_journey,
        stage=journey.stage,
        process=journey.process,
        domain=process.domain if process else "",
        owner=journey.owner,
        quality=quality,
        score=score,
        coverage=coverage,
        capped=capped,
        steps=steps,
    )
