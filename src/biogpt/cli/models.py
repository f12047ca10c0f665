"""`biogpt models`: which models are bundled."""


def models() -> None:
    """List the bundled models, each with its size, its score and what it does."""
    from biogpt.extraction.model_list import list_models

    print(list_models())
