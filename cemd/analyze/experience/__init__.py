"""How customers have it: health of services, RATER, journeys, the experience index."""
