"""From field data (polygons, points, crop calendars) to labelled tiles."""
