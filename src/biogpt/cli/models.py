"""`biogpt models`: which models are bundled."""


def models() -> None:
    """List the bundled models: what each does, how good it is, how large."""
    from biogpt.extraction.model_list import list_models

    print(list_models())
