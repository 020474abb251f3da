"""Where and when: cubes, legends, tile grid, periods, windows, calendars, splits; and files."""
