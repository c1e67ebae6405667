"""Any torchvision network as a backbone: a name, its weights, and which module ends which layer."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from dmt.errors import UserError, nearest_name
from dmt.networks.network import IMAGENET_MEAN, IMAGENET_STD, Standardize, require_layers
from dmt.networks.weights import find_weights, load_into, load_tensors


class TorchvisionNetwork(nn.Module):
    """A torchvision classification network, frozen, cut after the last layer named.

    Args:
        name: torchvision's name, for example ``squeezenet1_1``.
        layers: ours -> torchvision's node names, in order, for example ``{"fire2": "features.3"}``.
        weights: file names with torchvision's keys (see ``find_weights``); ``None`` leaves random weights.
        weights_dir: where the files are kept.
        url: where the first file can be downloaded from.
        sha256: the start of that file's SHA-256.

    Raises:
        UserError: unknown network or node, weights missing or of another network.
    """

    def __init__(
        self,
        name: str,
        layers: Mapping[str, str],
        weights: Sequence[str] | None,
        weights_dir: str | Path = "~/.cache/dmt/weights",
        url: str | None = None,
        sha256: str = "",
    ):
        super().__init__()
        import torchvision  # slow, and needed by few
        from torchvision.models.feature_extraction import create_feature_extractor

        if name not in torchvision.models.list_models(module=torchvision.models):
            known = torchvision.models.list_models(module=torchvision.models)
            raise UserError(f"torchvision has no network {name!r}{nearest_name(name, known)}")
        network = torchvision.models.get_model(name, weights=None)
        if weights is not None:
            path = find_weights(weights, weights_dir, url, sha256)
            load_into(network, load_tensors(path), path)
        for module in network.modules():
            if hasattr(module, "inplace"):
                module.inplace = False  # an in-place ReLU would overwrite the activation read before it
        self.layer_names = tuple(layers)
        self.stem = Standardize(IMAGENET_MEAN, IMAGENET_STD)
        try:
            self.network = create_feature_extractor(network.eval(), {node: layer for layer, node in layers.items()})
        except ValueError as error:
            raise UserError(f"{name}: {str(error).splitlines()[0]}") from error
        self.eval().requires_grad_(False)

    def extra_repr(self) -> str:
        return f"layers={self.layer_names}"

    def forward(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        require_layers(layers, self.layer_names)
        activations = self.network(self.stem(images))
        return {name: activations[name] for name in self.layer_names if name in layers}
