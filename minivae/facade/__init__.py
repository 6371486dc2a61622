"""The names of `import minivae`, all of them."""

from .. import optim
from ..compression import compress, decompress
from ..datasets import load_dataset
from ..errors import TrainingDiverged
from ..evaluation import importance as importance
from ..evaluation.held_out import Evaluation, Evaluator
from ..evaluation.importance import ImportanceEstimate
from ..evaluation.importance import estimate as importance_estimate
from ..explorer import explore
from ..gradcheck import assert_gradients, check_gradients
from ..kernels import available_backends, register_backend
from ..layers import Dense
from ..losses import Bernoulli, BetaBinomial, Gaussian, GaussianKL, Likelihood, Logistic
from ..optim import *  # noqa: F403
from ..reparam import Reparameterize
from ..runs import checkpoint as checkpoint
from ..schedules import Constant, Cosine, Cyclical, Plateau, StepDecay, Warmup
from ..training.fit import fit
from ..training.state import History, TrainingState
from ..training.team import MPITeam, Team
from ..vae import VAE, Terms

__all__ = [
    "VAE",
    "Bernoulli",
    "BetaBinomial",
    "Constant",
    "Cosine",
    "Cyclical",
    "Dense",
    "Evaluation",
    "Evaluator",
    "Gaussian",
    "GaussianKL",
    "History",
    "ImportanceEstimate",
    "Likelihood",
    "Logistic",
    "MPITeam",
    "Plateau",
    "Reparameterize",
    "StepDecay",
    "Team",
    "Terms",
    "TrainingDiverged",
    "TrainingState",
    "Warmup",
    "assert_gradients",
    "available_backends",
    "check_gradients",
    "compress",
    "decompress",
    "explore",
    "fit",
    "importance_estimate",
    "load_dataset",
    "register_backend",
]
__all__ += optim.__all__
