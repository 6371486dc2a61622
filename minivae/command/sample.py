"""`minivae sample`: what a trained model makes of draws from the prior, or of walks through its latents."""

from . import options

SUMMARY = "decode draws from the prior, or walks through the latents"


def add(parser):
    options.add_run(parser)
    parser.set_defaults(seed=None)
    across = "how many (64, or 12 in a picture of rows); steps of a walk (11)"
    parser.add_argument("--count", type=options.whole, metavar="N", help=across)
    walks = parser.add_mutually_exclusive_group()
    walks.add_argument(
        "--traverse",
        type=options.index,
        nargs="*",
        metavar="LATENT",
        help="let one latent at a time run from -3 to 3: these, from 0 (the ten with the highest KL)",
    )
    walks.add_argument(
        "--interpolate",
        type=options.index,
        nargs="+",
        metavar="ROW",
        help="walk from row to row of the data, numbered from 0 as minivae encode does: two or more",
    )
    parser.add_argument("--at", type=options.index, metavar="ROW", help="traverse from this row (the prior's mean)")
    options.add_data(parser, "the data of --interpolate and --at, a file or a data set's name (the run's data)")
    options.add_out(parser, "samples.png, traversal.png or interpolation.png")


def run(args):
    walk = args.traverse is not None or args.interpolate is not None
    if walk and args.seed is not None:
        raise ValueError(f"--seed: got {args.seed}, expected no --traverse and no --interpolate with it")
    if args.at is not None and args.traverse is None:
        raise ValueError(f"--at: got {args.at}, expected --traverse with it")
    *_, data, reading = options.asked(args)
    if args.at is None and args.interpolate is None:
        for name, value in {**reading, "data": data}.items():
            if value is not None:
                option = name.replace("shape", "image-shape")
                raise ValueError(f"--{option}: got {value!r}, expected --interpolate, or --traverse --at ROW, with it")
    if args.interpolate is not None and len(args.interpolate) < 2:
        raise ValueError(f"--interpolate: got {args.interpolate[0]}, expected two rows or more")
    if walk and args.count == 1:
        raise ValueError("--count: got 1, expected 2 steps of a walk or more")
    picture, make = "samples.png", _sample
    if walk:
        picture, make = ("interpolation.png", _interpolate) if args.interpolate else ("traversal.png", _traverse)
    path = options.result_path(args, picture)
    options.expect_result(path, args)
    make(args, path)


def _sample(args, path):
    from ..plotting.points import MOST_PROFILES
    from ..runs import reopening
    from ..runs.pictures import SAMPLES, draw_samples

    config, model = reopening.open_model(args.run, args.backend, args.best)
    count, seed = args.count or SAMPLES, args.seed or 0
    if path.suffix == ".npy":
        options.save_array(path, config.data.original(model.sample(count, seed=seed)))
    else:
        shape = reopening.image_shape(args.run, config)
        if not shape and model.features != 2:
            count = args.count or 12
            if count > MOST_PROFILES:
                expected = f"at most {MOST_PROFILES} in a picture, or --out FILE.npy"
                raise ValueError(f"--count: got {args.count}, expected {expected}")
        draw_samples(path, model, config.data.name, shape, count, seed, config.data.original)
    options.say(f"{count} samples in {path}")


def _traverse(args, path):
    from ..runs import reopening, walks

    start, where = None, "at the prior's mean"
    if args.at is None:
        config, model = reopening.open_model(args.run, args.backend, args.best)
        name = config.data.name
    else:
        config, model, rows = reopening.open_all_rows(*options.asked(args))
        start, name = _means(config, model, walks.pick(rows, [args.at], "--at"))[0], rows.name
        where = f"at the posterior means of row {args.at:,}"
    kl = walks.strengths(args.run, args.best or config.training.early_stopping is not None)
    if kl is not None and len(kl) != model.latent:
        kl = None
    order = range(model.latent) if kl is None else (-kl).argsort(kind="stable").tolist()
    latents = args.traverse or list(order)[: walks.MOST]
    means, values = walks.traversal(model, latents, args.count or walks.STEPS, start)
    means = _original(config, means)
    if path.suffix == ".npy":
        options.save_array(path, means)
    else:
        shape, title = reopening.image_shape(args.run, config), f"Latent traversal, model of {_short(name)}"
        _expect_panels("--traverse", latents, shape)
        walks.draw_traversal(path, means, values, latents, kl, shape, title, where)
    options.say(f"{len(latents)} latents from {values[0]:g} to {values[-1]:g} in {path}")


def _interpolate(args, path):
    from ..runs import folder, reopening, walks

    config, model, rows = reopening.open_all_rows(*options.asked(args))
    chosen = walks.pick(rows, args.interpolate, "--interpolate")
    means = walks.interpolation(model, _means(config, model, chosen), args.count or walks.STEPS)
    means = _original(config, means)
    if path.suffix == ".npy":
        options.save_array(path, means)
    else:
        ends = config.data.original(folder.unit_values(chosen, config.training.pixels))
        shape = reopening.image_shape(args.run, config)
        _expect_panels("--interpolate", means, shape)
        title = f"Interpolation between rows of {_short(rows.name)}"
        walks.draw_interpolation(path, means, ends, args.interpolate, shape, title)
    options.say(f"{len(means)} walks between rows of {rows.name} in {path}")


def _expect_panels(option, walks, image_shape):
    from ..plotting.points import MOST_PROFILES

    if not image_shape and len(walks) > MOST_PROFILES:
        expected = f"at most {MOST_PROFILES} in a picture, or --out FILE.npy"
        raise ValueError(f"{option}: got {len(walks)} walks, expected {expected}")


def _means(config, model, values):
    """Posterior means (n, latent) of rows, made pixels of 0 and 1 as in training."""
    from ..runs import folder

    return model.encode(folder.unit_values(values, config.training.pixels))[0]


def _original(config, means):
    """Decoder means (walks, steps, features) in the unit of the data before they were scaled."""
    return config.data.original(means.reshape(-1, means.shape[2])).reshape(means.shape)


def _short(name):
    return name.replace("\\", "/").rpartition("/")[2]
