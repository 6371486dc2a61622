"""minivae: a variational autoencoder from scratch, every gradient written by hand and checked."""

from .datasets import load_dataset
from .errors import TrainingDiverged
from .evaluation import Evaluation, Evaluator
from .gradcheck import assert_gradients, check_gradients
from .kernels import available_backends
from .layers import Dense
from .losses import Bernoulli, Gaussian, GaussianKL
from .optim import SGD, Adam, AdamW
from .reparam import Reparameterize
from .schedules import Constant, Cosine, StepDecay
from .training import History, fit
from .vae import VAE, Terms

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "VAE",
    "Adam",
    "AdamW",
    "Bernoulli",
    "Constant",
    "Cosine",
    "Dense",
    "Evaluation",
    "Evaluator",
    "Gaussian",
    "GaussianKL",
    "History",
    "Reparameterize",
    "StepDecay",
    "Terms",
    "TrainingDiverged",
    "assert_gradients",
    "available_backends",
    "check_gradients",
    "fit",
    "load_dataset",
]
