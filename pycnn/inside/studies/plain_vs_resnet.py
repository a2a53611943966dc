"""On CIFAR-10 a plain network gets worse with depth, and a residual one does not."""

from __future__ import annotations

from pycnn.inside.studies import Settings, cifar10
from pycnn.inside.studies.report import Report, new_figure
from pycnn.inside.studies.training import Epoch, Recipe, evaluate, train
from pycnn.loading import load
from pycnn.transfer.history import Measured
from pycnn.vision import Augmentation, Dataset, Mirror, RandomCrop

# Network -> epochs: what two CPU cores do in a night.
SHORT = {"plain20": 30, "resnet20": 30, "plain56": 15, "resnet56": 15}
# Section 4.2: 64,000 steps of 128 images, a tenth of the rate after 32,000 and 48,000.
PAPER_EPOCHS = 182
# He et al. 2015, section 4.2: 4 pixels of padding, a random crop of 32 x 32 or its mirror image.
AUGMENTATION = Augmentation((RandomCrop(32, padding=4), Mirror()))


def recipes(settings: Settings) -> dict[str, Recipe]:
    """How each network is trained: the same for all of one depth."""
    if settings.full:
        paper = Recipe(PAPER_EPOCHS, schedule="paper", seed=settings.seed)
        return dict.fromkeys(SHORT, paper)
    return {
        name: Recipe(epochs, weight_decay=5e-4, precision="bfloat16", seed=settings.seed)
        for name, epochs in SHORT.items()
    }


def run(report: Report, settings: Settings) -> None:
    """Train four networks, or go on with them."""
    assert settings.data is not None  # study() asked for it
    learnt, held_out = cifar10.read(settings.data)
    report.heading("What is trained")
    report.text(
        f"Each network from He's random weights on {len(learnt):,} images of CIFAR-10, tested on "
        f"{len(held_out):,} others; the plain twin is the same network without its shortcuts."
    )
    report.code(recipes)
    histories: dict[str, list[Epoch]] = {}
    training: dict[str, Measured] = {}
    for name, recipe in recipes(settings).items():
        file = settings.folder / recipe.stem(name)
        model, histories[name] = train(
            load(name, "random"), recipe, learnt, held_out,
            file.with_suffix(".pt"), augmentation=AUGMENTATION, device=settings.device,
        )  # fmt: skip
        model.save(file.with_suffix(".safetensors"))
        training[name] = evaluate(model, _sample(learnt))
    _curves(report, histories)
    _table(report, histories, training)
    _gradients(report, histories)


def _sample(learnt: Dataset) -> Dataset:
    """As many images that were learnt from as are held out, as they are."""
    return learnt.subset(range(cifar10.HELD_OUT))


def _error(measured: Measured) -> float:
    return 100 * (1 - measured.accuracy)


def _curves(report: Report, histories: dict[str, list[Epoch]]) -> None:
    figure = new_figure(9, 4)
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("plain", "resnet"), strict=True):
        for name, history in histories.items():
            if not name.startswith(kind):
                continue
            x = [epoch.number for epoch in history]
            (line,) = axes.plot(x, [_error(epoch.held_out) for epoch in history], label=name)
            axes.plot(x, [_error(e.training) for e in history], "--", color=line.get_color())
        axes.set_title(kind)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.axes[0].set_ylabel("error, %")
    figure.axes[0].set_ylim(0, 60)
    report.heading("Error while training")
    report.figure(figure, "Solid: held-out images; dashed: the augmented images of the epoch.")


def _table(
    report: Report, histories: dict[str, list[Epoch]], training: dict[str, Measured]
) -> None:
    rows = []
    for name, history in histories.items():
        last = history[-1]
        minutes = sum(epoch.seconds for epoch in history) / 60
        report.numbers[name] = {
            "epochs": len(history),
            "training_error": _error(training[name]),
            "held_out_error": _error(last.held_out),
        }
        rows.append((name, str(len(history)), f"{_error(training[name]):.2f}",
                     f"{_error(last.held_out):.2f}", f"{minutes:.0f}"))  # fmt: skip
    report.table(
        "At the end", ("network", "epochs", "training error, %", "held-out error, %", "min"), rows
    )
    for kind in ("plain", "resnet"):
        shallow, deep = (report.numbers[f"{kind}{depth}"] for depth in (20, 56))
        change = deep["training_error"] - shallow["training_error"]
        report.finding(
            f"{kind}: from 20 to 56 layers the training error "
            f"{'rises' if change > 0 else 'falls'} from {shallow['training_error']:.2f} to "
            f"{deep['training_error']:.2f} %, the held-out error goes from "
            f"{shallow['held_out_error']:.2f} to {deep['held_out_error']:.2f} %."
        )
    plain, residual = (report.numbers[f"{kind}56"] for kind in ("plain", "resnet"))
    report.finding(
        f"With 56 layers and the same {plain['epochs']} epochs the held-out error of the plain "
        f"network ends at {plain['held_out_error']:.2f} %, that of the residual one at "
        f"{residual['held_out_error']:.2f} %."
    )
    if plain["epochs"] < report.numbers["plain20"]["epochs"]:
        report.text(
            "The deep networks have fewer epochs than the shallow ones, so part of what depth "
            "costs here is time to learn; a plain network and its residual twin have as many."
        )


def _gradients(report: Report, histories: dict[str, list[Epoch]]) -> None:
    figure = new_figure(9, 4)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, at, title in zip(panels, (0, -1), ("first epoch", "last epoch"), strict=True):
        for name, history in histories.items():
            norms = list(history[at].gradient_norms.values())
            places = [i / (len(norms) - 1) for i in range(len(norms))]
            axes.plot(places, norms, label=name)
            report.numbers[name][f"gradient_norms_{title.replace(' ', '_')}"] = norms
        axes.set_title(title)
        axes.set_yscale("log")
        axes.set_xlabel("depth: 0 is the first layer, 1 the classifier")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("norm of the gradient, mean over the epoch")
    panels[0].legend()
    report.heading("Gradients by depth")
    report.figure(figure, "Of each convolution's weights, and of the classifier's.")
