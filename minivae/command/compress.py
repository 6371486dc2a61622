"""`minivae compress`: data as a file of about the size of the negative ELBO, with nothing lost."""

from pathlib import Path

from ..files.atomic import replacing
from . import options
from .options import say

SUMMARY = "compress data with a trained model, losslessly"


def add(parser):
    options.add_run(parser)
    options.add_data(
        parser, "a file, all rows of it, or a data set's name, its held-out part (the run's held-out data)"
    )
    parser.set_defaults(seed=None)
    parser.add_argument("given", metavar="DATA", nargs="?", help="the same as --data DATA")
    parser.add_argument("-o", "--out", metavar="FILE", help="the file to write, such as data.mvz; not DATA itself")
    parser.add_argument(
        "--samples", type=options.whole, metavar="K", help="draws of z a row: smaller, K times slower (1)"
    )
    inside = "put the networks into the file, in 8 to 16 bits a weight: it is then decoded without the run"
    parser.add_argument("--weight-bits", type=options.whole, metavar="B", help=inside)
    parser.add_argument("--block", type=options.whole, metavar="N", help="rows that can be decoded by themselves (all)")
    lossy = "make grey pixels 0 and 1 first: what they were is lost"
    parser.add_argument("--pixels", choices=("threshold", "dynamic"), help=lossy)
    parser.add_argument(
        "--report", action="store_true", help="write nothing; rates beside the ELBO and other compressors"
    )


def run(args):
    from ..compression import compress
    from ..runs import reopening

    asked = {"--out": args.out, "--samples": args.samples, "--weight-bits": args.weight_bits, "--block": args.block}
    if args.report:
        for name, value in asked.items():
            if value is not None:
                raise ValueError(f"{name}: got {value}, expected none with --report")
    elif args.out is None:
        raise ValueError("--out: got none, expected -o FILE, or --report")
    if args.seed is not None and args.pixels != "dynamic":
        raise ValueError(f"--seed: got {args.seed}, expected --pixels dynamic with it")
    if None not in (args.data, args.given):
        raise ValueError(f"--data: got {args.data!r} and {args.given!r} beside it, expected one of them")
    how = *options.asked(args), args.pixels, args.seed or 0
    if args.report:
        return _report(*reopening.open_rows(*how))
    # the checkpoint is needed to decode the file
    of_run = [path for path in Path(args.run).glob("*") if path.suffix != ".mvz"]
    options.expect_output(args.out, args.data or args.given, *of_run)
    model, x, _, _ = reopening.open_rows(*how)
    content = compress(model, x, args.samples or 1, weight_bits=args.weight_bits, block=args.block)
    with replacing(Path(args.out)) as file:
        file.write(content)
    say(f"{len(x):,} rows in {len(content):,} bytes, {8 * len(content) / x.size:.5f} bits per dimension: {args.out}")
    if args.pixels:
        say("the file holds pixels of 0 and 1; the grey values are not in it")
    if args.weight_bits is None:
        say("to decode it the run's checkpoint is needed, the very same weights")


def _report(model, x, shape, train):
    from ..compression.report import report

    found = report(model, x, train, shape)
    say(f"{found['rows']:,} rows of {model.features} dimensions, bits per dimension:")
    say(f"{found['rate']:8.5f}  this model, every byte of the file ({found['initial_bits']} bits to begin with)")
    say(f"{found['minus_elbo']:8.5f}  its negative ELBO")
    say(f"{found['rate_of_draws']:8.5f}  this model, K = {found['draws']}, the first {found['rows_of_draws']:,} rows")
    say(f"{found['bound_of_draws']:8.5f}  the bound with K = {found['draws']} of these")
    for name, rate in sorted(found["others"].items(), key=lambda item: item[1]):
        say(f"{rate:8.5f}  {name}")
    if "zstd -19" not in found["others"]:
        say("zstd is not among them: zstandard is not installed")
    sizes = f"{found['model_bytes']:,} bytes in float32, {found['model_bytes_8_bits']:,} in 8 bits a weight"
    say(f"the model itself: {sizes}")
    if found["break_even"] is None:
        say("it never pays: a general compressor is as good without a model")
    else:
        say(f"with the latter it pays from {found['break_even']:,} rows on against the best general compressor")
