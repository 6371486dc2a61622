"""The variational autoencoder as an estimator of scikit-learn: docs/scikit-learn.md.

In this package `import sklearn` means scikit-learn, as everywhere.
"""

try:
    from .estimator import VAE
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] != "sklearn":
        raise
    raise ImportError("minivae.sklearn needs scikit-learn: pip install 'minivae[sklearn]'") from error

__all__ = ["VAE"]
