"""segdata train."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import Framing, Precision
from segdata.cli.options import Json, Seed
from segdata.cli.terminal import echo


def train(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            "-d",
            metavar="DATASET[,OPTION=VALUE...]",
            help="Data set to train on, with weight=NUMBER, who=persons|everyone|dominant (whom its masks hold), "
            "leave_out=FILE (keys, one a line), others=FILE (keys of photos whose masks lack other persons) or "
            "void=VALUE; repeatable.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="RUN", help="Folder of the run, made if needed.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="NETWORK",
            help="alisnet, rcrnet, rcrnet-encoder, rcrnet-decoder, rcrnet-bypass, lwpsn, bisenet, trisenet, "
            "mc-trisenet, md-trisenet or portrait.",
        ),
    ] = "alisnet",
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="OPTION=VALUE", help="Option of the network's builder; repeatable."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|bundled|RUN|FILE",
            help="The weights to start from.",
            show_default="imagenet where the network's backbone has such weights",
        ),
    ] = None,
    views: Annotated[int, typer.Option(min=1, help="How many views of photos are seen in all.")] = 40_000,
    epoch_views: Annotated[int, typer.Option(min=1, help="How many of them from one validation to the next.")] = 2_000,
    side: Annotated[int, typer.Option(min=32, help="Side of a view in pixels, a multiple of 32.")] = 320,
    pyramid: Annotated[
        int, typer.Option(min=1, help="Levels of an image pyramid, each half the side, that views are of in turn.")
    ] = 1,
    framing: Annotated[
        Framing, typer.Option(help="Views at many sizes, or photos whole as the model will see them: for a last stage.")
    ] = "free",
    pixels: Annotated[
        int, typer.Option(min=1024, help="Number of pixels at which the trained model sees whole photos.")
    ] = 576 * 384,
    batch: Annotated[int, typer.Option(min=2, help="Views at once.")] = 16,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3,
    texture: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of each change of colour, light, sharpness and noise.")
    ] = 0.5,
    average: Annotated[
        float, typer.Option(min=0, max=0.9999, help="How much of the mean of the weights, which is kept, a step keeps.")
    ] = 0.995,
    patience: Annotated[
        int | None, typer.Option(min=1, help="End after so many epochs without a better score.")
    ] = None,
    freeze_norms: Annotated[
        bool, typer.Option("--freeze-norms", help="Leave batch normalisation as it is, as for few photos.")
    ] = False,
    seed: Seed = 0,
    precision: Annotated[Precision, typer.Option(help="auto: mixed 16 bits on a GPU, 32 elsewhere.")] = "auto",
    device: Annotated[str, typer.Option(metavar="auto|cpu|gpu|N", help="Where to train; N: so many GPUs.")] = "auto",
    workers: Annotated[int, typer.Option("--workers", "-w", min=0, help="Processes that prepare views.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a network on a mix of data sets.

    Samples whose column split is train are trained on, those of val are validated on after each epoch, test is left
    alone. RUN gets the best weights, settings, curves and the hash of all that was trained on; the same call goes on
    after an interruption. Train in stages by giving one run as --init of the next. Needs: pip install 'segdata[train]'.

    \b
    Examples:
      segdata train --data coco --data fashion,who=dominant,weight=2 --out run1
      segdata train --data fashion,who=dominant --init run1 --side 448 --rate 3e-4 --out run2
      segdata train --data mine --init bundled --views 2000 --epoch-views 250 --out tuned
    """
    from segdata.cli.results import end_with
    from segdata.models.settings import parse_source, read_options
    from segdata.models.train import train as twin

    result = twin(
        [parse_source(each) for each in data],
        out,
        model=model,
        network=read_options(network or []),
        init=init,
        views=views,
        epoch_views=epoch_views,
        side=side,
        pyramid=pyramid,
        framing=framing,
        pixels=pixels,
        batch=batch,
        rate=rate,
        texture=texture,
        average=average,
        patience=patience,
        freeze_norms=freeze_norms,
        seed=seed,
        precision=precision,
        device=device,
        workers=workers,
        progress=show_epoch,
    )
    end_with(result, as_json=as_json)


def show_epoch(row: dict[str, float]) -> None:
    """Print on stderr how an epoch went."""
    scores = "".join(f", {name.removeprefix('val/')} {100 * value:.2f} %" for name, value in row.items() if "/" in name)
    echo(f"epoch {row['epoch']:.0f}: loss {row['loss']:.3f}{scores}", err=True)
