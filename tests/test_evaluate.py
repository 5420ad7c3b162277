from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.data import batches
from zoo.data.sources import Split
from zoo.evaluation.evaluate import evaluate, measure

CPU = torch.device("cpu")
PIXELS = batches.pixels((0.5,), (0.25,), CPU)


class FirstPixel(nn.Module):
    """Predicts the class whose number is the first pixel's value, then the following ones in order."""

    def forward(self, x: Tensor) -> Tensor:
        value = (x[:, 0, 0, 0] * 0.25 + 0.5) * 255
        return -((torch.arange(10) - value.round()[:, None]) % 10)


def digits(values: list[int], labels: list[int]) -> Split:
    images = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 8, 8, 1)
    return Split(images, torch.tensor(labels))


def test_top1_and_top5_count_the_first_and_the_first_five_guesses() -> None:
    results = evaluate(FirstPixel(), digits([3, 3, 3, 3], [3, 4, 7, 8]), PIXELS)
    assert (results.test_top1, results.test_top5, results.test_images) == (25.0, 75.0, 4)


def test_the_confusion_matrix_has_true_classes_in_rows_and_guesses_in_columns() -> None:
    _, confusion = measure(FirstPixel(), digits([3, 3, 3, 7], [3, 4, 4, 7]), PIXELS)
    assert confusion.shape == (10, 10)
    assert {(i, j): confusion[i, j].item() for i, j in confusion.nonzero().tolist()} == {
        (3, 3): 1,
        (4, 3): 2,
        (7, 7): 1,
    }


def test_the_loss_is_the_mean_over_images_with_a_smaller_last_batch() -> None:
    split = digits([i % 10 for i in range(1234)], [i % 7 for i in range(1234)])
    net = FirstPixel()
    logits = net(PIXELS.normalise(split.images)).float()
    assert abs(evaluate(net, split, PIXELS).test_loss - F.cross_entropy(logits, split.labels).item()) < 1e-5


def test_a_net_is_evaluated_in_evaluation_mode_and_left_unchanged() -> None:
    net = zoo.load("resnet8_digits").train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    split = digits(list(range(100)), [0] * 100)
    first = evaluate(net, split, PIXELS)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert evaluate(net.eval(), split, PIXELS) == first
    assert not net.training
