"""What `pretrain` and `finetune` share: flags of processes and traces, and a finished run.

--import my_networks                    a module that registers networks or sensors of one's own
--profile 20                            write a trace of 20 steps
--coordinator HOST:PORT --num_processes 2 --process_id 0
                                        one of two processes that train together
"""

from absl import flags

from experiments import _output

_PROFILE = flags.DEFINE_integer(
    "profile", 0, "Steps to write a trace of, into the workdir.", lower_bound=0
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, where several processes train together (each run with the same "
    "settings and a workdir that all see); auto: as Slurm, Open MPI or Cloud TPU say.",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many there are.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Index of this process, from 0.", lower_bound=0
)


def start() -> None:
    """Joins the processes of the run, if there are several; before anything else uses jax."""
    from cropmap_jax.training import parallel

    parallel.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)


def train(prepared, workdir: str, following: str) -> None:
    """Trains, and prints where the result lies and what to run next.

    Args:
      prepared: what a run begins with, a `runs.training.Prepared`.
      workdir: the run's folder.
      following: the command to run next.
    """
    from cropmap_jax.geo import processes
    from cropmap_jax.product import keeping
    from cropmap_jax.runs import training
    from cropmap_jax.training import parallel

    with processes.stoppable():  # also before its first step and while the last is saved
        record = training.train(prepared, workdir, _PROFILE.value)
    if parallel.process_index() > 0:
        return
    _output.results(workdir=workdir, metrics=record)
    card = keeping.after_training(workdir, prepared)
    shown = ", ".join(f"{k} {v:.4g}" for k, v in record.items() if "rate" not in k)
    print(f"done: {shown}\ncheckpoint and metrics: {workdir}\n{card}\nnext: {following}")
