"""The loss curve's rows, file and picture."""

import csv
from pathlib import Path

from biogpt.training.curve import PRETRAINING, curve_rows, draw_curve, write_curve

LOG = [
    {"step": 10, "loss": 3.0, "learning_rate": 0.1, "tokens": 80, "tokens_per_second": 5.0, "seconds": 16.0},
    {"step": 20, "loss": 2.0, "learning_rate": 0.2, "tokens": 160, "tokens_per_second": 5.0, "seconds": 32.0},
    {"step": 20, "eval_loss": 2.5, "eval_bits_per_byte": 1.25, "tokens": 160},
    {"step": 20, "train_runtime": 40.0},
]


def test_a_row_per_step_with_its_evaluation() -> None:
    rows = curve_rows(LOG)
    assert [row["step"] for row in rows] == [10, 20]
    assert "heldout_bits_per_byte" not in rows[0]
    assert (rows[1]["loss"], rows[1]["heldout_bits_per_byte"]) == (2.0, 1.25)


def test_files(tmp_path: Path) -> None:
    write_curve(LOG, tmp_path)
    draw_curve(LOG, tmp_path)
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(PRETRAINING.columns.values())
    assert [row["loss"] for row in rows] == ["3.0", "2.0"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"curve.csv", "curve.png"}
