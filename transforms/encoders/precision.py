"""How exactly a torch model computes: its placement, its precision, and compiling it on demand."""

from typing import TYPE_CHECKING, Any

from transforms.encoders.network import Where
from transforms.errors import UsageError

if TYPE_CHECKING:
    import torch


def placed(module: "torch.nn.Module", where: Where) -> "torch.nn.Module":
    """The module in inference mode on its device and in its precision; raises UsageError for what cannot be."""
    import torch

    module = module.eval().requires_grad_(False)
    if where.precision == "int8":
        if where.device != "cpu":
            raise UsageError(f"int8 runs on the processor only; take precision=bf16 or fp16: device={where.device}")
        by_row = {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
        module = torch.ao.quantization.quantize_dynamic(module, by_row)  # type: ignore[no-untyped-call]
    module = module.to(device=where.device, dtype=dtype_of(where))
    compiled: torch.nn.Module = torch.compile(module) if where.compile else module  # type: ignore[assignment]
    return compiled


def dtype_of(where: Where) -> "torch.dtype":
    """The type that weights and inputs have."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(where.precision, torch.float32)


def moved(inputs: Any, where: Where) -> dict[str, Any]:
    """A processor's tensors on the device, those of real numbers in the model's precision."""
    dtype = dtype_of(where)
    return {
        key: value.to(where.device, dtype) if value.is_floating_point() else value.to(where.device)
        for key, value in inputs.items()
        if hasattr(value, "is_floating_point")
    }
