"""The preprocessing that belongs to published weights. A variant of a network names one of these.

Sizes are height x width. "Caffe" networks see BGR planes in 0..255 less a mean, and no division.
"""

from dataclasses import replace

from pycnn.vision.preprocess import Preprocessing

__all__ = [
    "BVLC_ALEXNET",
    "CIFAR10_AKAMASTER",
    "CIFAR10_NIN",
    "IMAGENET_BVLC_GOOGLENET",
    "MNIST_LENET",
    "NIN_CAFFE",
    "TORCHVISION",
    "TORCHVISION_GOOGLENET",
    "TORCHVISION_V2",
    "VGG_CAFFE",
]

# Mean of each plane of Caffe's imagenet_mean.binaryproto, BGR.
_BVLC_MEAN = (104.00698793, 116.66876762, 122.67891434)

#: BVLC's GoogLeNet, the bvlc_googlenet of Caffe's model zoo (its train_val rounds the mean).
IMAGENET_BVLC_GOOGLENET = Preprocessing(
    (224, 224), resize=(256, 256), crop=(224, 224), channels="BGR", mean=(104.0, 117.0, 123.0)
)

#: BVLC's AlexNet, which takes 227 x 227. Caffe subtracts the mean image, here its mean pixel.
BVLC_ALEXNET = Preprocessing(
    (227, 227), resize=(256, 256), crop=(227, 227), channels="BGR", mean=_BVLC_MEAN
)

#: VGG-16 and VGG-19 by their authors, for Caffe; also MSRA's ResNets, which subtract the mean image
#: of the same pictures, here its mean pixel.
VGG_CAFFE = Preprocessing(
    (224, 224), resize=256, crop=(224, 224), channels="BGR", mean=(103.939, 116.779, 123.68)
)

#: Network in Network for ImageNet, of Caffe's model zoo.
NIN_CAFFE = Preprocessing(
    (224, 224), resize=(256, 256), crop=(224, 224), channels="BGR", mean=_BVLC_MEAN
)

#: torchvision's IMAGENET1K_V1 weights: AlexNet, VGG, ResNet, GoogLeNet and others.
TORCHVISION = Preprocessing(
    (224, 224),
    resize=256,
    crop=(224, 224),
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

#: torchvision's IMAGENET1K_V2 weights of the ResNets of 50 layers and more: a larger resize.
TORCHVISION_V2 = replace(TORCHVISION, resize=232)

#: torchvision's GoogLeNet. It came from TensorFlow, whose inputs are -1..1; torchvision's module
#: takes its usual input and turns it into that at its beginning (`transform_input`). Ours takes the
#: images in -1..1, the same numbers in one step.
TORCHVISION_GOOGLENET = replace(TORCHVISION, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

#: ResNet-20 and its deeper kin for CIFAR-10, by akamaster: ImageNet's mean and std.
CIFAR10_AKAMASTER = Preprocessing(
    (32, 32),
    resize=(32, 32),
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

#: Network in Network for CIFAR-10: bare pixels, RGB in 0..255. NOT the whole preprocessing: the
#: published weights want global contrast normalisation (scale 55) and then ZCA whitening with the
#: statistics of the training set (eps 0.1), both left to the caller.
CIFAR10_NIN = Preprocessing((32, 32), resize=(32, 32))

#: LeNet-5 on MNIST: x = pixel / 255 * 1.275 - 0.1, the paper's range (ground -0.1, ink 1.175), the
#: 28 x 28 digit in the middle of 32 x 32. Bright ink on a dark ground.
MNIST_LENET = Preprocessing(
    (32, 32),
    resize=(28, 28),
    pad=2,
    pad_value=0,
    channels="L",
    scale=1 / 255,
    mean=(0.1 / 1.275,),
    std=(1 / 1.275,),
)
