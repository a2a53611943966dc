"""Random changes as torchvision does them: Pillow for the pixels, torch for the numbers.

torchvision does not import beside every build of torch; this is what its classes of the same names
do, with their distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from PIL import Image, ImageEnhance, ImageOps

from pycnn.vision import Augmentation, ColorJitter, Mirror, RandomCrop, RandomResizedCrop, Rotate
from pycnn.vision.steps import Step

Change = Callable[[Image.Image], Image.Image]


def steps_of(augmentation: Augmentation) -> list[Change]:
    """The same chain."""
    return [_STEPS[type(step)](step) for step in augmentation.steps]


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(1).uniform_(low, high))


def _random_crop(step: RandomCrop) -> Change:
    assert isinstance(step.size, int)
    size = step.size

    def change(image: Image.Image) -> Image.Image:
        padded = ImageOps.expand(image, border=step.padding, fill=0)
        top = int(torch.randint(0, padded.height - size + 1, (1,)))
        left = int(torch.randint(0, padded.width - size + 1, (1,)))
        return padded.crop((left, top, left + size, top + size))

    return change


def _mirror(step: Mirror) -> Change:
    def change(image: Image.Image) -> Image.Image:
        if torch.rand(1) < step.p:
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image

    return change


def _rotate(step: Rotate) -> Change:
    def change(image: Image.Image) -> Image.Image:
        angle = _uniform(-step.degrees, step.degrees)
        return image.rotate(angle, Image.Resampling.BILINEAR)

    return change


def _jitter(step: ColorJitter) -> Change:
    enhancers = (
        (step.brightness, ImageEnhance.Brightness),
        (step.contrast, ImageEnhance.Contrast),
        (step.saturation, ImageEnhance.Color),
    )

    def change(image: Image.Image) -> Image.Image:
        for i in torch.randperm(3).tolist():
            amount, enhancer = enhancers[i]
            image = enhancer(image).enhance(_uniform(max(0.0, 1 - amount), 1 + amount))
        return image

    return change


def _random_resized_crop(step: RandomResizedCrop) -> Change:
    assert isinstance(step.size, int)
    size = step.size
    logs = torch.log(torch.tensor(step.ratio)).tolist()

    def change(image: Image.Image) -> Image.Image:
        for _ in range(10):
            area = image.width * image.height * _uniform(*step.scale)
            aspect = math.exp(_uniform(*logs))
            width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < width <= image.width and 0 < height <= image.height:
                break
        else:
            raise ValueError("none of ten rectangles fits")
        top = int(torch.randint(0, image.height - height + 1, (1,)))
        left = int(torch.randint(0, image.width - width + 1, (1,)))
        part = image.crop((left, top, left + width, top + height))
        return part.resize((size, size), Image.Resampling.BILINEAR)

    return change


_STEPS: dict[type[Step], Callable[..., Change]] = {
    RandomCrop: _random_crop,
    Mirror: _mirror,
    Rotate: _rotate,
    ColorJitter: _jitter,
    RandomResizedCrop: _random_resized_crop,
}
