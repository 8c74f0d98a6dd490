"""The threads of NumPy's and SciPy's linear algebra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_linear_algebra_thread() -> Iterator[None]:
    """Limit BLAS to one thread, for work of many small steps.

    Its threads wait for each other after every step: an L-BFGS over 13,000 weights took 3 s with
    one thread, and 17 to 30 s with two on two processors under other load. With one thread the
    result does not depend on the number of processors either.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
