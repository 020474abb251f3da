"""Runs independent tasks in this process, in worker processes, or on the workers of a Dask cluster.

A task is a function of a module and its arguments. It can be run again without harm, since it
writes whole files or none: a worker that is lost costs the tasks that it was at. What a command
keeps of its tasks, such as a manifest, the process of the command writes alone.
"""

from cropmap_jax.scheduling.on_worker import Unfit, WorkersLost
from cropmap_jax.scheduling.schedulers import Done, Scheduler, open_scheduler

__all__ = ["Done", "Scheduler", "Unfit", "WorkersLost", "open_scheduler"]
