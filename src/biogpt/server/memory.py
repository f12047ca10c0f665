"""Memory of a process that runs for days: what glibc keeps of what was freed. Other C libraries are left alone."""

import contextlib
import ctypes

_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_arenas() -> None:
    """Have threads share two pools of memory, where each would have its own. Called before they start."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Give pages that are free back to the system. Tensors of many sizes leave gaps that are never used again."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
