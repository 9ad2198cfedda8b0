"""How exactly a torch model computes: its placement, its precision, and compiling it on demand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transforms.encoders.network import Where
from transforms.errors import UsageError

if TYPE_CHECKING:
    import torch


def placed(module: "torch.nn.Module", where: Where, *, exact: Sequence[str] = ()) -> "torch.nn.Module":
    """The module in inference mode on its device and in its precision; raises UsageError for what cannot be.

    Linear layers that have one of `exact` in their names stay out of int8: their models look at their weights.
    """
    import torch

    module = module.eval().requires_grad_(False)
    if where.precision == "int8":
        if where.device != "cpu":
            raise UsageError(f"int8 runs on the processor only; take precision=bf16 or fp16: device={where.device}")
        by_row = {
            name: torch.ao.quantization.per_channel_dynamic_qconfig
            for name, one in module.named_modules()
            if type(one) is torch.nn.Linear and not any(part in name for part in exact)
        }
        if not by_row and any(True for _ in module.parameters()):
            raise UsageError(f"{type(module).__name__} has no linear layers for int8; take precision=bf16 or fp16")
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
