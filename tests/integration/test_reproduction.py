"""A run behind docs/reproduce.md can be made, and its row of the table printed."""

import json
import sys
from types import SimpleNamespace

import pytest
import reproduce
from command_line import run


@pytest.fixture
def run_script(monkeypatch):
    """Runs benchmarks/reproduce.py in this process, and the commands that it starts, too."""

    def start(command, stdout, check):
        assert command[:3] == [sys.executable, "-m", "biogpt"]
        ended = run(*command[3:])
        print(ended.stdout, ended.stderr, file=stdout)
        return ended

    def run_script(*arguments):
        monkeypatch.setattr(sys, "argv", ["reproduce.py", *map(str, arguments)])
        reproduce.main()

    monkeypatch.setattr(reproduce, "subprocess", SimpleNamespace(run=start))
    return run_script


def test_a_task_is_tuned_scored_twice_and_written_down(data_path, tmp_path, monkeypatch, run_script, capsys):
    source = data_path / "benchmarks" / "PubMedQA"
    target = tmp_path / "data" / "benchmarks" / "PubMedQA"
    target.mkdir(parents=True)
    for file in ("pqal_fold0_train_set.json", "pqal_fold0_dev_set.json", "test_set.json"):
        questions = json.loads((source / file).read_text(encoding="utf-8"))
        (target / file).write_text(json.dumps(dict(list(questions.items())[:3])), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    arguments = ["pubmedqa", "--data", "data", "--work", "work", "--output", "results", "--variant", "tiny", "--"]
    run_script(*arguments, "--epochs", "1")
    result = json.loads((tmp_path / "results" / "pubmedqa-tiny.json").read_text(encoding="utf-8"))
    assert set(result["stages"]) == {"finetune", "unconstrained", "constrained"}
    assert result["stages"]["finetune"]["command"].startswith("biogpt finetune --task pubmedqa --data PubMedQA")
    assert all(report["outcomes"]["num_examples"] == 3 for report in result["reports"].values())
    assert (
        result["reports"]["constrained"]["outcomes"]["num_failed"] == 0
    )  # barely tuned, yet constrained by the schema
    assert result["finetune"]["recipe"]["data"] == "PubMedQA"

    with pytest.raises(SystemExit, match="It ended with 1"):
        run_script(*arguments, "--epochs", "2")
    assert "holds a run with finetune.epochs = 1, got 2" in capsys.readouterr().err
    run_script("--table", "--output", "results")
    figures = [
        100 * result["reports"][decoding]["figures"]["accuracy"] for decoding in ("unconstrained", "constrained")
    ]
    shown = capsys.readouterr().out
    assert "| `pubmedqa`, tiny | accuracy | 55.20 (majority) |" in shown
    assert all(f" {figure:.2f} (" in shown for figure in figures)


def test_older_results_are_read_under_todays_names(tmp_path):
    old = {
        "stages": {"finetune": {}, "free": {"seconds": 1}, "held": {}},
        "reports": {"free": {}, "held": {"main": "f1"}},
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert reproduce.read_result(tmp_path / "old.json") == {
        "stages": {"finetune": {}, "unconstrained": {"seconds": 1}, "constrained": {}},
        "reports": {"unconstrained": {}, "constrained": {"main": "f1"}},
    }
