"""From what field teams deliver (shapefiles, points, crop calendars) to labelled tiles."""
