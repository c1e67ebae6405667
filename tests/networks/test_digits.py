import torch
from sklearn.linear_model import LogisticRegression

from dmt.data import Digits
from dmt.networks import digits_backbone


def test_the_network_that_comes_with_the_package_tells_digits_apart():
    catalog, network = Digits(), digits_backbone()
    images = torch.stack([catalog.read(i, 32) for i in range(600)])
    pooled = network(images, ["conv3"])["conv3"].mean(dim=(2, 3)).numpy()
    learnt = LogisticRegression(C=100, max_iter=2000).fit(pooled[:400], catalog.digits[:400])
    assert learnt.score(pooled[400:], catalog.digits[400:600]) > 0.8


def test_it_is_frozen():
    network = digits_backbone()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
