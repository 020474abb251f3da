"""Where the time of a step goes."""

import json

import pytest

from benchmarks import breakdown

PROGRAM = """
%inside (p: f32[2]) -> f32[2] {
  %p.1 = f32[2]{0} parameter(0), metadata={op_name="jit(_fun)/ignored"}
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  %turned.1 = f32[2]{0} transpose(%x), dimensions={0}
  %copied = f32[2]{0} copy(%turned.1)
  %kernel = f32[2]{0} convolution(%copied, %x), window={size=3}
  %norm = f32[2]{0} fusion(%x), calls=%inside, metadata={op_name="jvp(DualUNet3D)/s1/norm/mul"}
  %last = f32[2]{0} copy(%norm)
  ROOT %new = f32[2]{0} add(%last, %kernel), metadata={op_name="jit(_fun)/add"}
}
"""


def test_what_xla_added_counts_for_what_it_is_there_for():
    names = breakdown._names(PROGRAM)
    assert "p.1" not in names
    kinds = {operation: breakdown._kind(name) for operation, name in names.items()}
    convolution = ("other convolutions", "gradient")
    assert kinds["kernel"] == kinds["copied"] == kinds["turned.1"] == convolution
    assert kinds["norm"] == ("normalisation, ReLU", "forward")
    assert kinds["last"] == kinds["new"] == ("Adam, loss, scaling", "other")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("transpose(jvp(DualUNet3D))/s2/conv3d/conv/pad", ("other convolutions", "gradient")),
        ("jvp(DualUNet3D)/s2/time_conv/conv/dot", ("convolutions over time", "forward")),
        ("DualUNet3D/s1/unet/upsample2/add", ("upsampling", "forward")),
        ("jvp(DualUNet3D)/s1/unet/up0/first/jit(relu)/max", ("normalisation, ReLU", "forward")),
        ("jvp(DualUNet3D)/s1/unet/ge", ("pooling, concatenation, head", "forward")),
        ("", ("Adam, loss, scaling", "other")),
    ],
)
def test_kinds_of_operations(name, kind):
    assert breakdown._kind(name) == kind


def test_operations_at_the_same_time_share_it():
    spans = [(0, 10, "a"), (4, 8, "b"), (6, 8, "a"), (15, 20, "b")]
    # 0-4 a; 4-6 half each; 6-8 two a, one b; 8-10 a; nothing; 15-20 b.
    shares, idle = breakdown._shares(spans)
    assert shares == pytest.approx({"a": 4 + 1 + 4 / 3 + 2, "b": 1 + 2 / 3 + 5})
    assert idle == 5


def test_kinds_add_up_to_the_step(tmp_path, capsys):
    breakdown.main(["--quick", "--predict", "--json", str(tmp_path / "f.json")])
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    parts = [ms for kind in figures["kinds"].values() for ms in kind.values()]
    assert sum(parts) == pytest.approx(figures["milliseconds"]) and min(parts) >= 0
    for kind in ("convolutions over time", "other convolutions", "upsampling"):
        found = figures["kinds"][kind]
        assert found["forward"] > 0 == found["gradient"]
    assert "batch 2, float32, width 2" in capsys.readouterr().out
