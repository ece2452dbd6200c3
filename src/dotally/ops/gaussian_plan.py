"""Which execution of a Gaussian convolution is fastest: a pure function of shapes, from counted work and known rates.

Work is counted as in the specs of GauNet (4.5); times are a roofline. Only the order of the times matters.
"""

from typing import NamedTuple, Self

from torch import Tensor

from dotally.ops.gaussian_setting import Setting, output_size
from dotally.ops.gaussian_taps import blur_radius, half_width


class Layer(NamedTuple):
    """Shapes of a Gaussian convolution and where it runs.

    Attributes:
        batch: Pictures.
        inputs: Input channels.
        outputs: Output channels.
        units: Gaussians K.
        height: Of the input, pixels.
        width: Of the input, pixels.
        sharing: Who shares the displacements: "layer", "in" or "pair".
        one_sigma: Whether all Gaussians have one width.
        device: "cpu", "cuda", ...
        itemsize: Bytes per element of the input.
    """

    batch: int
    inputs: int
    outputs: int
    units: int
    height: int
    width: int
    sharing: str = "layer"
    one_sigma: bool = True
    device: str = "cuda"
    itemsize: int = 2

    @classmethod
    def of(cls, x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor) -> Self:
        """Read the shapes of the operator's arguments."""
        sharing = ("layer", "in", "pair")[mu.ndim - 2]
        sizes = (x.shape[0], x.shape[1], weight.shape[0], weight.shape[2], x.shape[2], x.shape[3])
        return cls(*sizes, sharing, sigma.ndim == 0, x.device.type, x.element_size())


class Work(NamedTuple):
    """What an execution does: operations (two per multiply-add), bytes and calls.

    Attributes:
        matmul: In matrix products or convolutions.
        vector: Outside them.
        bytes: Moved by the main product.
        before: Bytes moved by passes that must be done before it.
        calls: Kernels started.
    """

    matmul: float
    vector: float
    bytes: float
    before: float = 0.0
    calls: int = 1


class Machine(NamedTuple):
    """Rates: operations and bytes a second, seconds a call, and whether arithmetic hides behind memory traffic."""

    matmul: float
    vector: float
    memory: float
    call: float
    overlaps: bool


class Plan(NamedTuple):
    """The chosen execution, and the estimated seconds of every one that computes what was asked."""

    execution: str
    seconds: dict[str, float]


# assumed ceilings of an H200, from a design note: bf16 790 TFLOP/s, copy 4.3 TB/s; half of the former for TF32
GPU = Machine(matmul=790e12, vector=67e12, memory=4.3e12, call=4e-6, overlaps=True)
# one core; only the ratios matter, and they are alike on others
CPU = Machine(matmul=65e9, vector=20e9, memory=12e9, call=1e-5, overlaps=False)
# shares of the peak that cuDNN, cuBLAS and the fused kernel are expected to reach, and plain passes of the memory's
GPU_EFFICIENCY = {"dense": 0.70, "separable": 0.90, "bank": 0.90, "fused": 0.60}
MEMORY_EFFICIENCY = 0.85


def dense_work(layer: Layer, setting: Setting) -> Work:
    """Count the dense convolution and the making of its kernel."""
    return convolution_work(layer, setting, 2 * half_width(setting.max_offset, setting.max_sigma, setting.shift) + 1)


def convolution_work(layer: Layer, setting: Setting, taps: int) -> Work:
    """Count a dense convolution of ``taps`` x ``taps``, its kernel a sum of Gaussians."""
    pairs = layer.inputs * layer.outputs
    samples, pixels = _samples(layer, setting), _pixels(layer)
    return Work(
        matmul=2.0 * samples * pairs * taps**2,
        vector=2.0 * pairs * layer.units * (taps**2 + 2 * taps),
        bytes=layer.itemsize * (pixels * layer.inputs + samples * layer.outputs + 1.0 * pairs * taps**2),
        before=2.0 * layer.itemsize * pairs * taps**2,
        calls=30,
    )


def separable_work(layer: Layer, setting: Setting) -> Work:
    """Count two depthwise passes for each Gaussian, and the product that mixes the planes."""
    taps = 2 * half_width(setting.max_offset, setting.max_sigma, setting.shift) + 1
    vector = 2.0 * _pixels(layer) * layer.inputs * layer.units * 2 * taps
    return _planes_work(layer, setting, vector, passes=2 * layer.units)


def bank_work(layer: Layer, setting: Setting) -> Work:
    """Count one blur, a bilinear shift for each Gaussian, and the product that mixes the planes."""
    if not layer.one_sigma or setting.grad_mode == "dau":
        return separable_work(layer, setting)  # nothing to share: blur and shift go into one row of taps
    taps = 2 * blur_radius(setting.max_sigma) + 1
    vector = _pixels(layer) * layer.inputs * (2.0 * 2 * taps + 8 * layer.units)
    return _planes_work(layer, setting, vector, passes=2 + 2 * layer.units)


def fused_work(layer: Layer, setting: Setting) -> Work:
    """Count one blur to memory and one kernel that samples and mixes; two small ones come before them."""
    taps = 2 * blur_radius(setting.max_sigma) + 1
    plane = _pixels(layer) * layer.inputs
    return Work(
        matmul=_mixing(layer, setting),
        vector=plane * (2.0 * 2 * taps + 8 * layer.units),
        bytes=_ideal_bytes(layer, setting),
        before=2.0 * layer.itemsize * plane,
        calls=4,
    )


def seconds(work: Work, machine: Machine, *, efficiency: float = 1.0, memory_efficiency: float = 1.0) -> float:
    """Estimate the time of some work; with both efficiencies at 1 it is the roofline's floor."""
    memory = machine.memory * memory_efficiency
    parts = (work.matmul / (machine.matmul * efficiency), work.vector / machine.vector, work.bytes / memory)
    return work.before / memory + (max(parts) if machine.overlaps else sum(parts)) + work.calls * machine.call


def why_not(execution: str, layer: Layer, setting: Setting) -> str | None:
    """Return why an execution cannot compute what the shapes and choices ask for; ``None`` if it can."""
    if execution == "dense":
        published = setting.grad_mode == "dau" and not layer.one_sigma
        return "the published gradients of a dense kernel need one scalar sigma" if published else None
    wanted = "exact" if execution == "separable" else "bilinear"
    if setting.shift != wanted:
        return f"it computes shift={wanted!r}, asked was {setting.shift!r}"
    if layer.sharing == "pair" or (execution == "fused" and layer.sharing != "layer"):
        return f"mu must be shared by {'all' if execution == 'fused' else 'the output'} channels"
    if execution == "fused" and not layer.one_sigma:
        return "it needs one scalar sigma"
    return None


def plan(layer: Layer, setting: Setting, *, fused: bool = False) -> Plan:
    """Choose the fastest execution that computes exactly what was asked.

    Args:
        layer: Shapes and place.
        setting: The operator's other arguments; its ``execution`` is ignored.
        fused: Whether the Triton kernels can run here.

    Returns:
        The choice, with the estimates it rests on.

    Raises:
        ValueError: If none can, which happens for the published gradients with a width for every pair of channels.
    """
    count = {"dense": dense_work, "separable": separable_work, "bank": bank_work, "fused": fused_work}
    estimates = {
        name: _estimate(name, work(layer, setting), layer)
        for name, work in count.items()
        if why_not(name, layer, setting) is None and (fused or name != "fused")
    }
    if not estimates:
        raise ValueError("grad_mode='dau' with mu for every pair of channels needs a scalar sigma, got one for each")
    return Plan(min(estimates, key=lambda name: estimates[name]), estimates)


def _estimate(execution: str, work: Work, layer: Layer) -> float:
    if layer.device == "cpu":
        return seconds(work, CPU)
    machine = GPU if layer.itemsize == 2 else GPU._replace(matmul=GPU.matmul / 2)
    efficiency = GPU_EFFICIENCY[execution]
    return seconds(work, machine, efficiency=efficiency, memory_efficiency=MEMORY_EFFICIENCY)


def _planes_work(layer: Layer, setting: Setting, vector: float, passes: int) -> Work:
    plane = 1.0 * layer.itemsize * _pixels(layer) * layer.inputs
    stored = 1.0 * layer.itemsize * _samples(layer, setting) * layer.inputs * layer.units
    return Work(
        matmul=_mixing(layer, setting),
        vector=vector,
        bytes=_ideal_bytes(layer, setting) + stored,
        before=4.0 * passes * plane + stored,  # each pass pads a copy, then reads and writes it
        calls=20 * passes,
    )


def _mixing(layer: Layer, setting: Setting) -> float:
    return 2.0 * _samples(layer, setting) * layer.inputs * layer.units * layer.outputs


def _ideal_bytes(layer: Layer, setting: Setting) -> float:
    weights = layer.inputs * layer.units * layer.outputs
    moved = _pixels(layer) * layer.inputs + _samples(layer, setting) * layer.outputs
    return 1.0 * layer.itemsize * (moved + weights)


def _pixels(layer: Layer) -> int:
    return layer.batch * layer.height * layer.width


def _samples(layer: Layer, setting: Setting) -> int:
    rows, columns = output_size((layer.height, layer.width), setting.stride)
    return layer.batch * rows * columns
