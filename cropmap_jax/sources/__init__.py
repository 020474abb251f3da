"""Where pixels come from; every source ends in cubes."""
