"""`biogpt env`: what a bug report should say."""


def env() -> None:
    """Print versions and hardware, for a bug report."""
    from biogpt.environment import describe_environment

    print(describe_environment())
