"""The runs behind docs/reproduce.md: its tables are the result files', and a run can be made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "reproduce.py"


@pytest.mark.parametrize("name", ["table", "step table"])
def test_the_documented_tables_are_those_of_the_result_files(name):
    command = [sys.executable, str(SCRIPT), f"--{name.replace(' ', '-')}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    shown = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- end of {name} -->")[0]
    assert shown.strip() == done.stdout.strip()


def test_a_task_is_tuned_scored_twice_and_written_down(data_path, tmp_path):
    source = data_path / "benchmarks" / "PubMedQA"
    target = tmp_path / "data" / "benchmarks" / "PubMedQA"
    target.mkdir(parents=True)
    for file in ("pqal_fold0_train_set.json", "pqal_fold0_dev_set.json", "test_set.json"):
        questions = json.loads((source / file).read_text(encoding="utf-8"))
        (target / file).write_text(json.dumps(dict(list(questions.items())[:3])), encoding="utf-8")
    command = [sys.executable, str(SCRIPT), "pubmedqa", "--data", "data", "--work", "work", "--output", "results"]
    command += ["--variant", "tiny", "--", "--epochs", "1"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    result = json.loads((tmp_path / "results" / "pubmedqa-tiny.json").read_text(encoding="utf-8"))
    assert set(result["stages"]) == {"finetune", "free", "held"}
    assert result["stages"]["finetune"]["command"].startswith("biogpt finetune --task pubmedqa --data PubMedQA")
    assert all(report["outcomes"]["num_examples"] == 3 for report in result["reports"].values())
    assert result["reports"]["held"]["outcomes"]["num_failed"] == 0  # barely tuned, yet constrained by the schema
    assert result["finetune"]["recipe"]["data"] == "PubMedQA"

    again = subprocess.run([*command[:-1], "2"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "holds a run with finetune.epochs = 1, got 2" in again.stderr
    table = [sys.executable, str(SCRIPT), "--table", "--output", str(tmp_path / "results")]
    shown = subprocess.run(table, capture_output=True, text=True, check=True).stdout
    assert "| `pubmedqa`, tiny | accuracy | 55.20 (majority) |" in shown
