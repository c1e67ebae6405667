"""What the tests of classifiers share: one that sees the mean colour alone, as a network and as an ONNX file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

LOGITS, CHANCES, SIGMOID = "logits", "chances", "sigmoid"


class MeanColour(nn.Module):
    """``weights (C, 3)`` times the mean colour, plus ``bias (C,)``; then a softmax, a sigmoid, or neither."""

    def __init__(self, weights: Sequence[Sequence[float]], bias: Sequence[float], says: str = LOGITS):
        super().__init__()
        self.linear = nn.Linear(3, len(bias))
        self.linear.weight.data = torch.tensor(weights)
        self.linear.bias.data = torch.tensor(bias)
        self.says = says

    def forward(self, images: Tensor) -> Tensor:
        found = self.linear(images.mean(dim=(2, 3)))
        return found.softmax(dim=1) if self.says == CHANCES else found.sigmoid() if self.says == SIGMOID else found


def onnx_of(network: MeanColour, path: Path, side: int | str = "side") -> Path:
    """The same network in a file."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, numbers = onnx.helper, onnx.numpy_helper
    weights = numbers.from_array(network.linear.weight.detach().numpy(), "weights")
    bias = numbers.from_array(network.linear.bias.detach().numpy(), "bias")
    last = {LOGITS: "Identity", CHANCES: "Softmax", SIGMOID: "Sigmoid"}[network.says]
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["raw"], transB=1),
        helper.make_node(last, ["raw"], ["said"]),
    ]
    kind = onnx.TensorProto.FLOAT
    read = [helper.make_tensor_value_info("picture", kind, ("batch", 3, side, side))]
    said = [helper.make_tensor_value_info(name, kind, None) for name in ("said", "mean")]
    graph = helper.make_graph(nodes, "mean_colour", read, said, [weights, bias])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def colour(red: float, green: float, blue: float, side: int = 8) -> Tensor:
    return torch.tensor([red, green, blue])[:, None, None].expand(3, side, side)


def said_by_hand(network: MeanColour, colours: Sequence[Sequence[float]]) -> np.ndarray:
    raw = np.asarray(colours) @ network.linear.weight.detach().numpy().T + network.linear.bias.detach().numpy()
    if network.says == SIGMOID:
        return 1 / (1 + np.exp(-raw))
    return raw if network.says == LOGITS else np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
