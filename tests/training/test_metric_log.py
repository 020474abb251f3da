"""Scalars of a run on disk."""

import struct
import subprocess
import sys

import pytest
from tensorboardX import record_writer
from tensorboardX.proto import event_pb2

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


@pytest.mark.parametrize(
    "text",
    ['{"loss": 1}\n', '[1]\n{"step": 1}\n', '{"step": "1"}\n', 'hello\n{"step": 1}\n', "\xff\n\n"],
)
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "metrics.jsonl").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="metrics.jsonl, line 1: expected a record of a run"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["metrics.jsonl", "tensorboard"])
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, name):
    log = MetricLog(tmp_path)
    if name == "tensorboard":
        (file,) = (tmp_path / name).iterdir()
        file.unlink()
        file.symlink_to("/dev/full")
    else:
        (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"{name}.*could not be written .No space left.*to resume$"):
        log.write(1, {"loss": 0.5})


def test_tensorboard_reads_what_is_written(tmp_path):
    log = MetricLog(tmp_path, resume_step=4)
    log.write(5, {"loss": 0.5, "score": 0.25})
    (file,) = (tmp_path / "tensorboard").iterdir()
    found = []
    data = file.read_bytes()
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + size])
        checksum = record_writer.masked_crc32c(data[12 : 12 + size])
        assert data[12 + size : 16 + size] == struct.pack("<I", checksum)
        found.append((event.step, [(v.tag, v.simple_value) for v in event.summary.value]))
        data = data[16 + size :]
    # The version of the format, where the run starts, and a scalar an event.
    assert found == [(0, []), (5, []), (5, [("loss", 0.5)]), (5, [("score", 0.25)])]


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
