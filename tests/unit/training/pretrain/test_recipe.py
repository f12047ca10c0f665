"""A run's TOML file: what is read, and the one line that each mistake gets."""

from pathlib import Path

import pytest

from biogpt.errors import ConfigError
from biogpt.training.pretrain.recipe import TrainingRecipe, read_recipe

EXAMPLES = Path(__file__).resolve().parents[4] / "examples" / "pretraining"

MINIMAL = 'output = "out"\n[corpus]\nsources = ["a.jsonl"]\nvocabulary_size = 100\n'


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_relative_paths_start_from_the_file(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path / "run.toml", MINIMAL))
    assert recipe.output == tmp_path / "out"
    assert recipe.corpus_path == tmp_path / "out" / "corpus"
    assert recipe.corpus.sources == (str(tmp_path / "a.jsonl"),)


def test_brackets_in_the_folders_name_are_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "fold [2024]"
    folder.mkdir()
    (folder / "a.jsonl").touch()
    for sources in ('["*.jsonl"]', '["a.jsonl"]'):
        recipe = read_recipe(write(folder / "run.toml", MINIMAL.replace('["a.jsonl"]', sources)))
        assert recipe.corpus.source_paths() == [folder / "a.jsonl"]


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    training = read_recipe(write(tmp_path / "run.toml", MINIMAL)).training
    assert (training.num_steps, training.warmup_steps, training.learning_rate) == (200_000, 20_000, 2e-4)
    assert (training.tokens_per_step, training.schedule, training.optimizer) == (524_288, "inverse_sqrt", "adam")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert read_recipe(path).training.num_steps > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[training]\nlearnin_rate = 1.0\n", "Unknown setting 'training.learnin_rate'.*'learning_rate'"),
        (MINIMAL + "[training]\nnum_steps = 'many'\n", "num_steps = 'many', expected a whole number"),
        (MINIMAL + "[training]\nnum_steps = true\n", "num_steps = True, expected a whole number"),
        (MINIMAL + "[training]\nschedule = 'linear'\n", "expected 'inverse_sqrt' or 'cosine' or 'warmup_stable_decay'"),
        (MINIMAL + "[training]\nadam_betas = [0.9]\n", "adam_betas"),
        (MINIMAL + "[training]\nnum_steps = 0\n", "num_steps = 0, expected a whole number of at least 1"),
        (MINIMAL + "[training]\ntokens_per_step = 1000\n", "a multiple of sequence_length x sequences_per_device"),
        (MINIMAL + "[training]\ncheckpoint_every = 15\n", "a multiple of log_every = 10"),
        (MINIMAL + "[corpus.extra]\n", "Unknown setting 'corpus.extra'"),
        ('output = "out"\n[corpus]\nvocabulary_size = 9\n', "'corpus.sources' is missing"),
        ("[corpus]\nsources = []\n", "'output' is missing"),
        (MINIMAL.replace("output", "ouput"), "run.toml: Unknown setting 'ouput'.*Did you mean 'output'"),
        (MINIMAL + "[training]\nseed = -1\n", "seed = -1"),
        (MINIMAL + "[training]\nadam_betas = [1.5, 2.0]\n", "adam_betas"),
        (MINIMAL + "[training]\nlearning_rate = inf\n", "learning_rate = inf"),
        (MINIMAL + "[model]\npreset = 5\n", "Got model.preset = 5, expected a name"),
        (MINIMAL + "[model]\npreset = 'mini'\nstart_from = 'mini'\n", "both model.preset and model.start_from"),
        (MINIMAL + "[model]\nstart_from = 'mini'\n", "model.start_from and corpus.vocabulary_size"),
        (MINIMAL.replace('"out"', "5"), "Got output = 5, expected a path"),
        ("not toml", "not a TOML file"),
        ('training = 3\noutput = "x"\n', r"Got training = 3, expected a table: \[training\]"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_recipe(write(tmp_path / "run.toml", text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read .*nowhere\.toml"):
        read_recipe(tmp_path / "nowhere.toml")


def rates(recipe: TrainingRecipe) -> list[float]:
    return [recipe.learning_rate_factor(step) for step in range(recipe.num_steps)]


def test_inverse_square_root_is_fairseqs() -> None:
    values = rates(TrainingRecipe(num_steps=400, warmup_steps=100))
    assert values[0] == pytest.approx(0.01)
    assert values[99] == max(values) == 1.0
    assert values[399] == pytest.approx((100 / 400) ** 0.5)


def test_cosine_ends_at_zero() -> None:
    values = rates(TrainingRecipe(num_steps=100, warmup_steps=10, schedule="cosine"))
    assert values[10] == 1.0
    assert values[55] == pytest.approx(0.5)
    assert values[99] < 0.001


def test_warmup_stable_decay_is_constant_between() -> None:
    values = rates(TrainingRecipe(num_steps=100, warmup_steps=10, schedule="warmup_stable_decay", decay_fraction=0.2))
    assert set(values[10:81]) == {1.0}
    assert values[90] == pytest.approx(0.5)
    assert values[99] == pytest.approx(0.05)


def test_only_schedules_that_never_look_at_the_end_may_be_made_longer() -> None:
    assert TrainingRecipe().is_open_ended
    assert TrainingRecipe(schedule="warmup_stable_decay", decay_fraction=0.0).is_open_ended
    assert not TrainingRecipe(schedule="warmup_stable_decay").is_open_ended
    assert not TrainingRecipe(schedule="cosine").is_open_ended
