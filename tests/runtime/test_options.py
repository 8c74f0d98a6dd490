"""What a user can ask of the runtime, and what is refused."""

from __future__ import annotations

import pytest

from cnnkit.errors import RuntimeUnavailableError, UsageError
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.hardware import gpu_count
from cnnkit.runtime.prediction import choose


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "`device` must be one of auto, cpu, gpu"),
        ({"runtime": "openvno"}, "Did you mean 'openvino'"),
        ({"precision": "int4"}, "`precision` must be one of"),
        ({"precision": "int8", "runtime": "xla"}, "^`precision='int8'` requires `runtime='openv"),
        ({"precision": "int8", "runtime": "tensorflow"}, "requires `runtime='openvino'`"),
        ({"precision": "int8", "device": "gpu"}, "requires `device='cpu'`"),
        ({"threads": -1}, "`threads` must not be negative"),
        ({"runtime": "openvino", "device": "gpu"}, "Use `runtime='xla'`"),
    ],
)
def test_a_wrong_option_is_refused_with_the_fix(options, message):
    with pytest.raises(UsageError, match=message):
        RuntimeOptions(**options)


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")
def test_without_a_gpu():
    assert choose(RuntimeOptions(precision="int8")) == ("openvino", "cpu")
    assert choose(RuntimeOptions()) == ("openvino", "cpu")
    assert choose(RuntimeOptions(runtime="xla")) == ("xla", "cpu")
    with pytest.raises(RuntimeUnavailableError, match=r"no NVIDIA GPU.*`device='cpu'`"):
        choose(RuntimeOptions(device="gpu"))
