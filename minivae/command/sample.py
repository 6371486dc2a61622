"""`minivae sample`: what a trained model makes of draws from the prior."""

from . import options

SUMMARY = "decode draws from the prior"


def add(parser):
    options.add_run(parser)
    parser.add_argument("--count", type=options.whole, default=64, metavar="N", help="how many (64)")
    options.add_out(parser, "samples.png")


def run(args):
    from ..runs import folder
    from ..runs.pictures import draw_samples

    _, model, data = folder.open_run(args.run, args.backend, args.best)
    path = options.result_path(args, "samples.png")
    if path.suffix == ".npy":
        options.save_array(path, model.sample(args.count, seed=args.seed))
    else:
        draw_samples(path, model, data, args.count, args.seed)
    options.say(f"{args.count} samples in {path}")
