"""Numbers that the networks must reproduce, from the papers and their publishers' models.

A count of parameters holds what is trained: no running statistics, no fixed RBF weights.
"""

# Exact. Sources: LeNet-5 1998: section II.B, "60,000 trainable free parameters" (156 + 12 + 1,516
# + 32 + 48,120 + 10,164). AlexNet, NIN and Inception v1: the Caffe models. VGG: the sums behind
# table 2. torchvision: `num_params` in its source. MSRA: ResNet-50's conv1 has 64 biases more. The
# CIFAR networks: table 6 to two digits.
PARAMETERS: dict[str, int] = {
    "lenet5@mnist": 61_706,
    "lenet5_1998@paper": 60_000,
    "alexnet@bvlc": 60_965_224,
    "vgg11@torchvision": 132_863_336,
    "vgg13@torchvision": 133_047_848,
    "vgg16@vgg": 138_357_544,
    "vgg19@vgg": 143_667_240,
    "resnet18@torchvision": 11_689_512,
    "resnet34@torchvision": 21_797_672,
    "resnet50@torchvision": 25_557_032,
    "resnet101@torchvision": 44_549_160,
    "resnet152@torchvision": 60_192_808,
    "plain18@paper": 11_515_688,
    "plain34@paper": 21_623_848,
    "resnet20@cifar10": 269_722,
    "resnet20@akamaster": 269_722,
    "resnet32@akamaster": 464_154,
    "resnet44@akamaster": 658_586,
    "resnet56@akamaster": 853_018,
    "resnet110@akamaster": 1_727_962,
    "plain20@cifar10": 269_722,
    "plain20@paper": 269_722,
    "plain32@paper": 464_154,
    "plain44@paper": 658_586,
    "plain56@paper": 853_018,
    "plain110@paper": 1_727_962,
    "nin@caffe": 7_595_176,
    "nin_cifar10@caffe": 966_986,
    "inception_v1@bvlc": 6_998_552,
    "alexnet@torchvision": 61_100_840,
    "vgg16@torchvision": 138_357_544,
    "vgg19@torchvision": 143_667_240,
    "vgg11_bn@torchvision": 132_868_840,
    "vgg13_bn@torchvision": 133_053_736,
    "vgg16_bn@torchvision": 138_365_992,
    "vgg19_bn@torchvision": 143_678_248,
    "resnet50@torchvision_v2": 25_557_032,
    "resnet101@torchvision_v2": 44_549_160,
    "resnet152@torchvision_v2": 60_192_808,
    "resnet50@msra": 25_557_096,
    "resnet101@msra": 44_549_160,
    "resnet152@msra": 60_192_808,
    "inception_v1@torchvision": 6_624_904,
}
INCEPTION_V1_WITH_AUX_PARAMETERS = 13_378_280

# As published, in multiply-adds. VGG-19 and the ResNets: He et al. 2015, section 3.3 and table 1,
# which strides on the 1x1 (`stride_on="1x1"`). ResNet-50 v1.5 (stride on the 3x3) and GoogLeNet:
# the usual counts of the published models. Others of torchvision: `_ops` in its source. The
# tolerance is half a unit of the last digit, but a whole unit where the paper rounded down
# (ResNet-34: 3.66, ResNet-50: 3.86).
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
    ("alexnet@torchvision", ()): (0.714e9, 0.0005e9),
    ("vgg11_bn@torchvision", ()): (7.609e9, 0.0005e9),
    ("inception_v1@torchvision", ()): (1.498e9, 0.0005e9),
    ("resnet50@msra", ()): (3.8e9, 0.1e9),
}

# Exact, for one image: convolutions and linear layers, without biases, pools and RBF. Not published
# to this precision: they follow from the tables of the papers.
MACS: dict[str, int] = {
    "lenet5@mnist": 416_520,
    "lenet5_1998@paper": 325_680,
    "alexnet@bvlc": 724_406_816,
    "vgg11@torchvision": 7_609_090_048,
    "vgg13@torchvision": 11_308_466_176,
    "vgg16@vgg": 15_470_264_320,
    "vgg19@vgg": 19_632_062_464,
    "resnet18@torchvision": 1_814_073_344,
    "resnet34@torchvision": 3_663_761_408,
    "resnet50@torchvision": 4_089_184_256,
    "resnet101@torchvision": 7_801_405_440,
    "resnet152@torchvision": 11_513_626_624,
    "plain18@paper": 1_794_805_760,
    "plain34@paper": 3_644_493_824,
    "resnet20@cifar10": 40_551_040,
    "resnet20@akamaster": 40_551_040,
    "resnet32@akamaster": 68_862_592,
    "resnet44@akamaster": 97_174_144,
    "resnet56@akamaster": 125_485_696,
    "resnet110@akamaster": 252_887_680,
    "plain20@cifar10": 40_551_040,
    "plain20@paper": 40_551_040,
    "plain32@paper": 68_862_592,
    "plain44@paper": 97_174_144,
    "plain56@paper": 125_485_696,
    "plain110@paper": 252_887_680,
    "nin@caffe": 1_100_188_800,
    "nin_cifar10@caffe": 222_486_528,
    "inception_v1@bvlc": 1_582_671_872,
    "alexnet@torchvision": 714_188_480,
    "vgg16@torchvision": 15_470_264_320,
    "vgg19@torchvision": 19_632_062_464,
    "vgg11_bn@torchvision": 7_609_090_048,
    "vgg13_bn@torchvision": 11_308_466_176,
    "vgg16_bn@torchvision": 15_470_264_320,
    "vgg19_bn@torchvision": 19_632_062_464,
    "resnet50@torchvision_v2": 4_089_184_256,
    "resnet101@torchvision_v2": 7_801_405_440,
    "resnet152@torchvision_v2": 11_513_626_624,
    "resnet50@msra": 3_857_973_248,
    "resnet101@msra": 7_570_194_432,
    "resnet152@msra": 11_282_415_616,
    "inception_v1@torchvision": 1_498_376_192,
}
