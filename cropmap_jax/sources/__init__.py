"""Where pixels come from; every source ends in cubes.

A folder is a source: targets in, cubes out. What they share lies next to them: what is to be made
(`targets`, `regions`, `timing`), what is done (`manifest`), labels (`tile_labels`), Sentinel-1's
satellites and orbits (`sentinel1`, `radar_orbits`), and whether a cube is the one that was
requested and how much of it is missing (`verify`, `missing`, `missing_report`).
"""
