"""python -m benchmarks step|kernels|runs|report: measures, and writes results/*.json, pictures and README's tables."""

import argparse

from . import step


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", choices=["step"])
    parser.add_argument(
        "--peer-python", help="a Python with torch and jax (the `bench` extra); without it they are left out"
    )
    parser.add_argument("--quick", action="store_true", help="only the reference and the tiny model")
    parser.add_argument("--verify-only", action="store_true", help="check that all agree, and time nothing")
    arguments = parser.parse_args()
    step.run(arguments.peer_python, arguments.quick, arguments.verify_only)


if __name__ == "__main__":
    main()
