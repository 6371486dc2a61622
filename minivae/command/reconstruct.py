"""`minivae reconstruct`: held-out examples beside what a trained model makes of them."""

from . import options

SUMMARY = "encode and decode held-out examples"


def add(parser):
    options.add_run(parser)
    options.add_data(parser, options.HELD_OUT)
    parser.add_argument("--count", type=options.whole, metavar="N", help="how many (30; 6 in a picture of rows)")
    options.add_out(parser, "reconstructions.png")
    parser.set_defaults(seed=None)


def run(args):
    from ..plotting.points import MOST_PROFILES
    from ..runs import folder, reopening
    from ..runs.pictures import EXAMPLES, PROFILES, draw_reconstructions

    path = options.result_path(args, "reconstructions.png")
    options.expect_result(path, args)
    config, model, data, own = reopening.open_run(*options.asked(args))
    pixels = config.training.pixels
    if args.seed is not None and path.suffix == ".npy" and pixels != "dynamic":
        raise ValueError(f"--seed: got {args.seed}, expected --out FILE.png with it, or a run of --pixels dynamic")
    seed = args.seed or 0
    profiles = path.suffix == ".png" and not data.image_shape and data.features != 2
    if profiles and (args.count or 0) > MOST_PROFILES:
        raise ValueError(f"--count: got {args.count}, expected at most {MOST_PROFILES} in a picture, or --out FILE.npy")
    count = min(args.count or (PROFILES if profiles else EXAMPLES), len(data.test))
    if path.suffix == ".npy":
        means = model.reconstruct(folder.unit_values(data.test[:count], pixels, seed))
        options.save_array(path, config.data.original(means))
    else:
        draw_reconstructions(path, model, data, pixels, count, seed)
    options.say(f"{count} reconstructions in {path}" + ("" if own else f", of {data.name}, other data than the run's"))
