"""`minivae evaluate`: the ELBO of a run's held-out data, its parts, and log p(x) by importance sampling."""

import json

import numpy as np

from ..files.atomic import write_text
from ..kernels.naive import PIXELS
from . import options
from .options import say

SUMMARY = "measure a trained model on its held-out data"


def add(parser):
    options.add_run(parser)
    options.add_data(parser, options.HELD_OUT)
    parser.add_argument("--pixels", choices=PIXELS, help="grey, threshold or dynamic (as in training)")
    parser.add_argument("--draws", type=options.whole, default=1, metavar="N", help="average over N noise draws (1)")
    parser.add_argument("--samples", type=options.whole, metavar="K", help="also log p(x) by K importance samples")
    parser.add_argument("-o", "--out", metavar="FILE", help="a .json file (RUN/evaluation.json)")
    parser.add_argument("--examples", type=options.whole, metavar="N", help="log p(x) of the first N examples only")


def run(args):
    from ..evaluation import importance
    from ..evaluation.held_out import Evaluator, bits_per_dimension
    from ..runs import folder, reopening
    from ..runs.pictures import pixels_phrase

    if args.examples and not args.samples:
        raise ValueError(f"--examples: got {args.examples}, expected --samples K with it")
    path = options.result_path(args, folder.EVALUATION, (".json",))
    options.expect_result(path, args)
    config, model, data, own = reopening.open_run(*options.asked(args))
    pixels = args.pixels or config.training.pixels
    evaluator = Evaluator(model, data.test, pixels=pixels, seed=args.seed)
    draws = [evaluator(draw) for draw in range(args.draws)]
    mean = {term: float(np.mean([getattr(draw, term) for draw in draws])) for term in ("nll", "kl")}
    bits = bits_per_dimension(model, **mean)
    result = {
        "data": data.name,
        "own_data": own,
        "examples": len(data.test),
        "pixels": pixels,
        "unit": "nats per example",
        "draws": args.draws,
        "elbo": -(mean["nll"] + mean["kl"]),
        **mean,
        **({} if bits is None else {"bits_per_dimension": bits}),
        "active_units": draws[0].active_units,
        "kl_per_latent": [float(kl) for kl in draws[0].kl_per_latent],
    }
    if not own:
        say(f"{data.name} is other data than the run was trained on")
    examples = "held-out examples" if own else "examples"
    say(f"{len(data.test):,} {examples} of {data.name}, {pixels_phrase(data, pixels)}, nats per example:")
    say(f"ELBO  {result['elbo']:10.3f}  = -(nll {mean['nll']:.3f} + KL {mean['kl']:.3f}), {args.draws} draw(s) of z")
    if bits is not None:
        say(f"negative ELBO: {bits:.4f} bits per dimension")
    say(f"active units {result['active_units']} of {model.latent} (variance of the posterior mean above 0.01)")
    if args.samples:
        values = folder.unit_values(data.test[: args.examples], pixels, args.seed)
        summary = importance.estimate(model, values, args.samples, args.seed).summary()
        result |= summary | {"samples": args.samples, "log_likelihood_examples": len(values)}
        _say_importance(summary, args.samples, len(values))
    write_text(path, json.dumps(result, indent=2) + "\n")
    say(f"written to {path}")


def _say_importance(summary, samples, examples):
    parts = {"draws": summary["sampling_error"], "data": summary["data_error"]}
    errors = ", ".join(f"{error:.3f} from the {source}" for source, error in parts.items() if error is not None)
    say(f"log p(x) {summary['log_likelihood']:7.3f}  by {samples:,} importance samples, {examples:,} examples")
    say(f"standard error of that mean: {errors or 'unknown'}")
    if summary["interval_95"]:
        low, high = summary["interval_95"]
        say(f"95 % interval over the draws: {low:.3f} to {high:.3f}, longer above since the estimate is on average low")
    say(f"effective samples {summary['effective_samples']:.1f} of {samples:,} (median over examples)")
    if summary["unreliable_examples"] is not None:
        k_hat = "none" if summary["k_hat"] is None else f"{summary['k_hat']:.2f}"
        many = f"above {summary['k_hat_threshold']:.2f} for {summary['unreliable_examples']:,} of {examples:,} examples"
        say(f"k-hat {k_hat} (median over examples), {many}")
    say("bound with K draws: " + ", ".join(f"{k}: {bound:.2f}" for k, bound in summary["bounds"].items()))
    if summary["warning"]:
        say(f"warning: {summary['warning']}")
