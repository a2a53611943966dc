"""Numbers that the networks must reproduce, from the papers and their publishers' models.

A count of parameters holds what is trained: no running statistics, no fixed RBF weights.
"""

# Exact. Sources: LeNet-5 1998: section II.B, "60,000 trainable free parameters" (156 + 12 + 1,516
# + 32 + 48,120 + 10,164). AlexNet, NIN and Inception v1: the Caffe models. VGG: the sums behind
# table 2. ResNet: the published models; the CIFAR networks: table 6 to two digits.
PARAMETERS: dict[str, int] = {
    "lenet5": 61_706,
    "lenet5_1998": 60_000,
    "alexnet": 60_965_224,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "plain18": 11_515_688,
    "plain34": 21_623_848,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "plain20": 269_722,
    "plain32": 464_154,
    "plain44": 658_586,
    "plain56": 853_018,
    "plain110": 1_727_962,
    "nin": 7_595_176,
    "nin_cifar10": 966_986,
    "inception_v1": 6_998_552,
}
INCEPTION_V1_WITH_AUX_PARAMETERS = 13_378_280

# As published, in multiply-adds. VGG-19 and the ResNets: He et al. 2015, section 3.3 and table 1,
# which strides on the 1x1 (`stride_on="1x1"`). ResNet-50 v1.5 (stride on the 3x3) and GoogLeNet:
# the usual counts of the published models. The tolerance is half a unit of the last digit, but a
# whole unit where the paper rounded down (ResNet-34: 3.66, ResNet-50: 3.86).
# (network, options) -> (MACs, tolerance)
PUBLISHED_MACS: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, float]] = {
    ("vgg19", ()): (19.6e9, 0.05e9),
    ("resnet18", ()): (1.8e9, 0.05e9),
    ("resnet34", ()): (3.6e9, 0.1e9),
    ("plain34", ()): (3.6e9, 0.05e9),
    ("resnet50", (("stride_on", "1x1"),)): (3.8e9, 0.1e9),
    ("resnet101", (("stride_on", "1x1"),)): (7.6e9, 0.05e9),
    ("resnet152", (("stride_on", "1x1"),)): (11.3e9, 0.05e9),
    ("resnet50", ()): (4.09e9, 0.005e9),
    ("inception_v1", ()): (1.58e9, 0.005e9),
}

# Exact, for one image: convolutions and linear layers, without biases, pools and RBF. Not published
# to this precision: they follow from the tables of the papers.
MACS: dict[str, int] = {
    "lenet5": 416_520,
    "lenet5_1998": 325_680,
    "alexnet": 724_406_816,
    "vgg11": 7_609_090_048,
    "vgg13": 11_308_466_176,
    "vgg16": 15_470_264_320,
    "vgg19": 19_632_062_464,
    "resnet18": 1_814_073_344,
    "resnet34": 3_663_761_408,
    "resnet50": 4_089_184_256,
    "resnet101": 7_801_405_440,
    "resnet152": 11_513_626_624,
    "plain18": 1_794_805_760,
    "plain34": 3_644_493_824,
    "resnet20": 40_551_040,
    "resnet32": 68_862_592,
    "resnet44": 97_174_144,
    "resnet56": 125_485_696,
    "resnet110": 252_887_680,
    "plain20": 40_551_040,
    "plain32": 68_862_592,
    "plain44": 97_174_144,
    "plain56": 125_485_696,
    "plain110": 252_887_680,
    "nin": 1_100_188_800,
    "nin_cifar10": 222_486_528,
    "inception_v1": 1_582_671_872,
}
