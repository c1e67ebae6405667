"""Labelled images -> a trained classifier: the networks of the transfer study."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR

from dmt.errors import UserError, is_number, require_whole_number
from dmt.ranges import BetweenZeroAndOne, Count, NotNegative, Positive, ShareBelowOne


@dataclass(frozen=True)
class Schedule:
    """Stochastic gradient descent with momentum and a learning rate that is divided in steps.

    Its printed form is part of the key of every network.

    Args:
        epochs: passes over the training pictures.
        batch_size: pictures per step.
        learning_rate: at the start.
        drops: when the rate is divided, as shares of the epochs.
        factor: by what the rate is multiplied then.
        momentum: of the descent.
        weight_decay: of all weights that learn.

    Raises:
        UserError: a value outside its range.
    """

    epochs: Count
    batch_size: Count
    _: KW_ONLY
    learning_rate: Positive
    drops: Sequence[BetweenZeroAndOne] = ()
    factor: Positive = 0.1
    momentum: ShareBelowOne = 0.9
    weight_decay: NotNegative = 5e-4

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require_whole_number(f"net.schedule.{name}", getattr(self, name), "a whole number above 0", least=1)
        for name in ("learning_rate", "factor"):
            if not (is_number(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"net.schedule.{name} must be a number above 0, got {getattr(self, name)!r}")
        if not all(is_number(share) and 0 < share < 1 for share in self.drops):
            raise UserError(f"net.schedule.drops must be shares of the epochs, between 0 and 1, got {list(self.drops)}")

    def optimizers(self, parameters: Iterable[nn.Parameter]) -> tuple[list[SGD], list[MultiStepLR]]:
        """The descent over the parameters that learn, and what divides its rate, as Lightning takes them.

        >>> descent, rate = Schedule(40, 1, learning_rate=0.1, drops=[0.5, 0.75]).optimizers([nn.Parameter()])
        >>> sorted(rate[0].milestones)
        [20, 30]
        """
        learn = list(parameters)
        descent = SGD(
            learn,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            fused=all(parameter.is_cuda for parameter in learn) or None,  # one kernel; else torch's own choice
        )
        return [descent], [MultiStepLR(descent, [round(share * self.epochs) for share in self.drops], self.factor)]


class ClassifierModule(LightningModule):
    """Trains a network by cross-entropy and keeps what every epoch came to.

    Args:
        network: ``(B, 3, H, W)`` in [0, 1] -> logits ``(B, classes)``; or from activations ``(B, ...)``, where the
            network's first layers were applied before.
        descent: the parameters that learn -> what Lightning's ``configure_optimizers`` may return.
        seed: of what is random while it trains (dropout), set anew for each epoch, so that a run that was interrupted
            goes on as if it had not been; ``None``: torch's own state.
    """

    def __init__(
        self, network: nn.Module, descent: Callable[[Iterable[nn.Parameter]], Any], *, seed: int | None = None
    ):
        super().__init__()
        self.network, self.descent, self.seed = network, descent, seed
        self.epochs: list[dict[str, float]] = []
        self._scored = _Graphs(network)
        self._begin_epoch()

    def on_train_epoch_start(self) -> None:
        self._begin_epoch()
        if self.seed is not None:
            torch.manual_seed(self.seed + self.current_epoch)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._tallied(batch, self._train)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._tallied(batch, self._validation)

    def on_train_epoch_end(self) -> None:
        found = self._train.means("train_loss", "train_top1") | self._validation.means("val_loss", "top1")
        self.log_dict(found, prog_bar=True)
        self.epochs.append({**found, "seconds": time.perf_counter() - self._began})

    def configure_optimizers(self) -> Any:
        return self.descent(parameter for parameter in self.parameters() if parameter.requires_grad)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["epochs"] = self.epochs

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.epochs = checkpoint["epochs"]

    def _begin_epoch(self) -> None:
        self._train, self._validation = _Tally(), _Tally()
        self._began = time.perf_counter()

    def _tallied(self, batch: tuple[Tensor, Tensor], tally: "_Tally") -> Tensor:
        loss, right = self._scored(*batch)
        tally.add(loss.detach(), right, len(batch[1]))
        return loss


class _Scored(nn.Module):
    """Pictures or activations, and labels -> the mean cross-entropy, and how many were right."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs)
        return nn.functional.cross_entropy(logits, labels), (logits.argmax(1) == labels).sum()


class _Graphs:
    """``_Scored`` of a network; while it is trained on a GPU as CUDA graphs, one for each shape of a batch.

    A small network's kernels take less time than their launches, which a graph does at once. Torch captures none in
    mixed precision.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        self._as_it_is = _Scored(network)
        self._captured: dict[torch.Size, Callable[..., Any]] = {}

    def __call__(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if not (inputs.is_cuda and self.network.training) or torch.is_autocast_enabled("cuda"):
            return self._as_it_is(inputs, labels)
        if inputs.shape not in self._captured:
            self._captured[inputs.shape] = self._capture(inputs, labels)
        return self._captured[inputs.shape](inputs, labels)

    def _capture(self, inputs: Tensor, labels: Tensor) -> Callable[..., Any]:
        """The graph, for which the network runs a few times; its buffers and the random numbers are as before."""
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        scored = _Scored(self.network).train(self.network.training)
        with torch.random.fork_rng(devices=[inputs.device]):
            graph: Callable[..., Any] = torch.cuda.make_graphed_callables(scored, (inputs.clone(), labels.clone()))
        for name, buffer in self.network.named_buffers():
            buffer.copy_(buffers[name])
        return graph


class _Tally:
    """Sums over the pictures of an epoch, left on their device until they are asked for."""

    def __init__(self) -> None:
        self.count = 0
        self._loss: Tensor | float = 0.0
        self._right: Tensor | int = 0

    def add(self, mean_loss: Tensor, right: Tensor, count: int) -> None:
        self._loss += mean_loss.double() * count
        self._right += right
        self.count += count

    def means(self, loss: str, top1: str) -> dict[str, float]:
        """The mean loss in nats and the share that was right in percent, by these names; none without pictures."""
        return {loss: float(self._loss) / self.count, top1: 100 * float(self._right) / self.count} if self.count else {}
