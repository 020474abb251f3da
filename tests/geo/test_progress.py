"""Progress bars say why they wait."""

import io

from cropmap_jax.geo import progress


def test_a_bar_says_why_it_waits_and_forgets_it():
    with progress.bar(total=4, file=io.StringIO(), mininterval=0) as bar:
        with progress.waiting("the service is busy, 8 s"):
            assert bar.postfix == "waiting: the service is busy, 8 s"
        assert not bar.postfix


def test_without_a_bar_nothing_is_shown(capsys):
    with progress.waiting("nobody looks"):
        pass
    assert capsys.readouterr() == ("", "")


def test_hidden_bars_still_count(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_HIDDEN", True)
    assert list(progress.bar(range(3), desc="x")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_bar_that_failed_is_not_written_on():
    try:
        with progress.bar(total=4, file=io.StringIO()):
            raise ValueError
    except ValueError:
        pass
    assert not progress._BARS
