"""Scalars of a run on disk."""

import subprocess
import sys

import pytest

from cropmap_jax.training.metric_log import MetricLog, read


def lines(workdir) -> str:
    return (workdir / "metrics.jsonl").read_text()


def test_records_are_lines_and_a_run_goes_on_after_its_step(tmp_path):
    log = MetricLog(tmp_path)
    assert log.last == {}
    for step in (1, 2, 3):
        log.write(step, {"loss": step / 2})
    log.write(2, {"score": 0.25})
    assert lines(tmp_path).splitlines()[0] == '{"step": 1, "loss": 0.5}'
    # Step 3 was lost with the work that led to it; step 2 wrote two records.
    log = MetricLog(tmp_path, resume_step=2)
    assert log.last == {"loss": 1.0, "score": 0.25}
    log.write(3, {"loss": 9.0})
    assert [(r["step"], r.get("loss")) for r in read(tmp_path)] == [
        (1, 0.5),
        (2, 1.0),
        (2, None),
        (3, 9.0),
    ]


def test_a_line_cut_short_is_passed_over_and_removed(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert read(tmp_path) == [{"step": 1, "loss": 0.5}]
    MetricLog(tmp_path, resume_step=1)
    assert lines(tmp_path) == '{"step": 1, "loss": 0.5}\n'


def test_a_fresh_run_does_not_inherit_the_lines_of_one_without_a_checkpoint(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    MetricLog(tmp_path)
    assert lines(tmp_path) == ""


def test_tensorboard_files_hold_the_scalars(tmp_path):
    log = MetricLog(tmp_path)
    log.write(1, {"validation/loss": 0.5})
    events = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    assert b"validation/loss" in events


def test_a_log_does_not_wait_for_pytorch(tmp_path):
    pytest.importorskip("torch")
    code = "import sys; from cropmap_jax.training.metric_log import MetricLog; "
    code += f"MetricLog({str(tmp_path)!r}); assert 'torch' not in sys.modules; "
    # Those who want it get it.
    code += "import torch; torch.zeros(1)"
    subprocess.run([sys.executable, "-c", code], check=True)
