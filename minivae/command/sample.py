"""`minivae sample`: what a trained model makes of draws from the prior."""

from . import options

SUMMARY = "decode draws from the prior"


def add(parser):
    options.add_run(parser)
    parser.add_argument("--count", type=options.whole, default=64, metavar="N", help="how many (64)")
    options.add_out(parser, "samples.png")


def run(args):
    from ..runs import reopening
    from ..runs.pictures import draw_samples

    config, model = reopening.open_model(args.run, args.backend, args.best)
    path = options.result_path(args, "samples.png")
    if path.suffix == ".npy":
        options.save_array(path, config.data.original(model.sample(args.count, seed=args.seed)))
    else:
        shape = reopening.image_shape(args.run, config)
        draw_samples(path, model, config.data.name, shape, args.count, args.seed, config.data.original)
    options.say(f"{args.count} samples in {path}")
