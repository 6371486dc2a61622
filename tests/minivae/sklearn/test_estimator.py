"""`minivae.sklearn.VAE` keeps scikit-learn's rules, and its numbers are what they are called."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import minivae as mv
from minivae.sklearn import VAE, estimator

# scikit-learn before 1.7 calls newer SciPy by arguments that are to go
pytestmark = pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 3)) @ RNG.standard_normal((3, 5)) + 0.1 * RNG.standard_normal((150, 5))
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


def fitted(data=X, **parameters):
    return VAE(**SMALL | parameters).fit(data)


def run(code, **environment):
    """What a fresh Python prints; nothing may stand on its standard error, warnings being errors."""
    command = [sys.executable, "-c", f"import warnings\n{code}"]
    environment = os.environ | environment
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("minivae: compiling")]
    assert lines == []
    return result.stdout


def test_check_estimator_has_nothing_to_say():
    """The whole of it, none left out: that needs SCIPY_ARRAY_API before SciPy is imported."""
    code = """
from sklearn.utils.estimator_checks import check_estimator
from minivae.sklearn import VAE
warnings.simplefilter("error")
check_estimator(VAE())
"""
    run(code, SCIPY_ARRAY_API="1")


def test_in_a_pipeline_a_grid_and_other_processes():
    digits, labels = load_digits(n_class=3, return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), VAE(max_iter=10, random_state=0), LogisticRegression(max_iter=1000))
    grid = GridSearchCV(pipeline, {"vae__n_components": [1, 8]}, cv=2, n_jobs=2, error_score="raise")
    scores = grid.fit(digits, labels).cv_results_["mean_test_score"]
    assert grid.best_params_ == {"vae__n_components": 8}
    assert scores[1] > 0.9
    here = cross_val_score(clone(pipeline).set_params(vae__n_components=8), digits, labels, cv=2)
    assert here.mean() == pytest.approx(scores[1], abs=0.01)
    assert "n_components=8" in grid.best_estimator_._repr_html_()
    with joblib.parallel_config("threading"):
        threads = clone(grid).fit(digits, labels).cv_results_["mean_test_score"]
    np.testing.assert_allclose(threads, scores, atol=0.01)


def test_a_density_is_chosen_by_its_score():
    grid = GridSearchCV(VAE(max_iter=40, learning_rate=0.01, random_state=0), {"sigma": [0.01, 1.0, "shared"]}, cv=2)
    assert grid.fit(X).best_params_ == {"sigma": "shared"}


@pytest.mark.parametrize("likelihood", estimator.LIKELIHOODS)
def test_dumped_and_loaded_elsewhere_it_gives_the_same_bits(likelihood, tmp_path):
    data = X if likelihood == "gaussian" else 1 / (1 + np.exp(-X))
    model = fitted(data, likelihood=likelihood)
    np.save(tmp_path / "x.npy", data)
    joblib.dump(model, tmp_path / "model.joblib")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    expected = [model.transform(data), model.score_samples(data), model.partial_fit(data).transform(data)]
    code = f"""
import joblib, numpy as np, pickle
warnings.simplefilter("error")
folder = {str(tmp_path)!r}
data = np.load(folder + "/x.npy")
with open(folder + "/model.pickle", "rb") as file:
    pickled = pickle.load(file)
for model in pickled, joblib.load(folder + "/model.joblib"), joblib.load(folder + "/model.joblib", mmap_mode="r"):
    for array in model.transform(data), model.score_samples(data), model.partial_fit(data).transform(data):
        print(array.tobytes().hex())
"""
    assert run(code).split() == 3 * [array.tobytes().hex() for array in expected]


def test_partial_fits_are_a_fit():
    whole, parts = fitted(batch_size=40, max_iter=4), VAE(**SMALL, batch_size=40)
    for _ in range(4):
        parts.partial_fit(X)
    np.testing.assert_array_equal(parts.model_.store.flat, whole.model_.store.flat)
    assert parts.n_iter_ == whole.n_iter_ == 4
    assert parts.history_["epoch"] == whole.history_["epoch"] == [1, 2, 3, 4]
    assert parts.history_["train_loss"] == whole.history_["train_loss"]
    parts.set_params(learning_rate=1e-9).partial_fit(X[:7])
    np.testing.assert_allclose(parts.model_.store.flat, whole.model_.store.flat, atol=1e-8)
    assert parts.n_iter_ == 5
    with pytest.raises(ValueError, match="4 features"):
        parts.partial_fit(X[:, :4])


@pytest.mark.parametrize(
    "schedules",
    [
        {"learning_rate": mv.Plateau(0.01, patience=1, threshold=10.0)},
        {"beta": mv.Plateau(1.0, factor=0.5, patience=1, threshold=10.0)},
        {"learning_rate": mv.Cosine(0.01, 20), "beta": mv.Warmup(20)},
    ],
)
def test_schedules_go_on_in_partial_fits(schedules):
    whole, parts = fitted(**schedules, max_iter=5, batch_size=40), VAE(**SMALL, **schedules, batch_size=40)
    for _ in range(5):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X)))
    for column in ("learning_rate", "beta", "train_loss"):
        assert parts.history_[column] == whole.history_[column]
    varied = "learning_rate" if "learning_rate" in schedules else "beta"
    assert len(set(whole.history_[varied])) > 3


def test_the_same_seed_gives_the_same_bits_and_others_do_not():
    a, b, c = (fitted(random_state=seed).transform(X) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)
    state = np.random.RandomState(1)
    d, e = (fitted(random_state=state).transform(X) for _ in range(2))
    np.testing.assert_array_equal(a, d)
    assert not np.allclose(d, e)


@pytest.mark.parametrize("sigma", ["shared", "features", 0.7])
def test_a_score_is_the_elbo(sigma):
    """With a linear decoder the mean over q is known: E|x - Wz - b|^2 = |x - W mu - b|^2 + sum of W^2 s^2."""
    model = fitted(hidden_layer_sizes=(), sigma=sigma, n_draws=4000, max_iter=20, learning_rate=0.02)
    data = X[:20]
    mu, s = model.model_.encode(data)
    weight, bias = (model.model_.parameters[f"likelihood.{name}"] for name in ("weight", "bias"))
    learned = model.model_.parameters.get("likelihood.log_sigma")
    variance = np.exp(2 * learned) if learned is not None else 0.7**2
    squares = (data - mu @ weight - bias) ** 2 + s**2 @ weight**2
    nll = (squares / variance + np.log(2 * np.pi * variance)).sum(axis=1) / 2
    kl = (mu**2 + s**2 - 1 - 2 * np.log(s)).sum(axis=1) / 2
    np.testing.assert_allclose(model.score_samples(data), -(nll + kl), atol=0.1)
    assert model.score(data) == pytest.approx(-(nll + kl).mean(), abs=0.03)


def test_the_noise_of_an_example_is_its_own_whatever_is_beside_it(monkeypatch):
    model = fitted(n_draws=3)
    scores = model.score_samples(X)
    monkeypatch.setattr(estimator, "ROWS", 10)
    np.testing.assert_allclose(model.score_samples(X[::-1])[::-1], scores, rtol=1e-9)
    zeros = np.zeros((3, 5)) * [[1], [-1], [1]]
    assert np.unique(model.score_samples(zeros)).size == 1
    # with the same noise for all examples their errors would add up, and not average out
    model = fitted(n_draws=1, hidden_layer_sizes=(), max_iter=20, learning_rate=0.02)
    near = X[:1] + 1e-9 * np.arange(200)[:, None]
    errors = model.score_samples(near) - model.set_params(n_draws=4000).score(X[:1])
    assert errors.std() > 0.5
    assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(len(near))


@pytest.mark.parametrize("sigma", ["shared", "features", 0.5])
def test_samples_are_draws_from_the_density(sigma):
    model = fitted(sigma=sigma, max_iter=60, learning_rate=0.01, hidden_layer_sizes=())
    drawn = model.sample(50_000, random_state=1)
    weight, bias = (model.model_.parameters[f"likelihood.{name}"] for name in ("weight", "bias"))
    learned = model.model_.parameters.get("likelihood.log_sigma")
    variance = np.full(5, 0.25) if learned is None else np.broadcast_to(np.exp(2 * learned), 5)
    assert (np.ptp(variance) > 0.01) == (sigma == "features")
    np.testing.assert_allclose(drawn.mean(axis=0), bias, atol=0.06)
    np.testing.assert_allclose(np.cov(drawn.T), weight.T @ weight + np.diag(variance), atol=0.15)
    np.testing.assert_array_equal(model.sample(4, random_state=2), model.sample(4, random_state=2))


def test_bits_are_drawn_as_bits():
    binary = fitted((X > 0).astype(float), likelihood="bernoulli")
    drawn, means = binary.sample(20_000, random_state=0), binary.inverse_transform(RNG.standard_normal((20_000, 2)))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(axis=0), means.mean(axis=0), atol=0.03)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_model_has_the_dtype_of_its_data(dtype):
    model = fitted(X.astype(dtype))
    for array in model.transform(X), model.inverse_transform(np.zeros((2, 2))), model.sample(2):
        assert array.dtype == dtype
    single = X.astype("float32")
    for data in single, single.astype("float64"):  # whichever the model has, the other is turned into it
        np.testing.assert_array_equal(model.score_samples(data), model.score_samples(single))
        np.testing.assert_array_equal(model.transform(data), model.transform(single))
    assert model.partial_fit(X).partial_fit(single).model_.dtype == dtype
    assert fitted(np.arange(60, dtype="uint8").reshape(12, 5)).model_.dtype == "float64"


def test_beta_is_a_number_or_a_schedule():
    assert fitted(beta=0.5).history_["beta"] == [0.5] * 3
    rising = clone(VAE(**SMALL, beta=mv.Warmup(3))).fit(X).history_["beta"]
    assert rising == sorted(rising)
    assert rising[0] < rising[-1]


def test_bytes_are_numbers_like_any_others():
    data = np.arange(60, dtype="uint8").reshape(12, 5)
    real = data.astype(float)
    np.testing.assert_array_equal(fitted(data).transform(data), fitted(real).transform(real))


def test_memory_of_any_layout_gives_the_same():
    expected, read_only = fitted().transform(X), X.copy()
    read_only.flags.writeable = False
    for data in (
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        X.astype(">f8"),
        read_only,
        X.astype(object),
        X.tolist(),
    ):
        np.testing.assert_array_equal(fitted(data).transform(data), expected)


def test_data_frames_and_names():
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pd.DataFrame(X, columns=list("abcde"), index=range(100, 250))
    model = fitted(frame).set_output(transform="pandas")
    latents = model.transform(frame)
    assert list(latents.columns) == list(model.get_feature_names_out()) == ["vae0", "vae1"]
    assert list(latents.index) == list(frame.index)
    assert list(model.feature_names_in_) == list("abcde")
    np.testing.assert_array_equal(model.set_output(transform="default").transform(frame), latents)
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[list("bacde")])


def test_held_out_values_beyond_the_range_can_be_clipped():
    bits = VAE(**SMALL, likelihood="bernoulli")
    with pytest.raises(ValueError, match=r"X: got .* MinMaxScaler\(clip=True\)"):
        cross_val_score(make_pipeline(MinMaxScaler(), bits), X, cv=3, error_score="raise")
    assert (cross_val_score(make_pipeline(MinMaxScaler(clip=True), bits), X, cv=3, error_score="raise") < 0).all()


def test_data_that_do_not_suit_are_refused():
    for data, message in (X, r"X: got .* expected values in \[0, 1\]"), ([[0.5, np.nan]], "NaN"):
        with pytest.raises(ValueError, match=message):
            VAE(likelihood="bernoulli").fit(data)
    model = fitted((X > 0).astype(float), likelihood="bernoulli")
    with pytest.raises(ValueError, match=r"X: got .* expected values in \[0, 1\]"):
        model.score(X)
    with pytest.raises(ValueError, match=r"X: got .* expected the 2 components"):
        model.inverse_transform(np.zeros((1, 3)))
    masked = np.ma.masked_greater(X, 2)
    for call in fitted, fitted().partial_fit, fitted().transform, lambda x: fitted().inverse_transform(x[:, :2]):
        with pytest.raises(ValueError, match=r"X: got .* masked value"):
            call(masked)
    with pytest.raises(ValueError, match="n_draws"):
        model.set_params(n_draws=0).score((X > 0).astype(float))


def test_what_needs_a_fit_says_so():
    for call in (lambda m: m.transform(X), lambda m: m.sample(), lambda m: m.inverse_transform(X[:, :2])):
        with pytest.raises(NotFittedError):
            call(VAE())


def test_a_fit_that_fails_leaves_the_last_one():
    model = fitted()
    expected = model.transform(X)
    with pytest.raises(mv.TrainingDiverged):
        model.set_params(learning_rate=1e300).fit(X)
    np.testing.assert_array_equal(model.transform(X), expected)


def test_an_interrupt_goes_on_and_leaves_what_was_learned(monkeypatch):
    def interrupted(*arguments, **options):
        history = mv.fit(*arguments, **options | {"epochs": 2})
        history.stopped = "interrupted"
        return history

    monkeypatch.setattr(estimator, "fit", interrupted)
    model = VAE(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.n_iter_ == 2
    assert model.transform(X).shape == (150, 2)


def test_several_threads_may_ask_one_estimator():
    model, data = fitted(hidden_layer_sizes=(100,)), np.tile(X, (20, 1))
    expected = model.transform(data), model.score_samples(data[:600])
    jobs = [(model.transform, data), (model.score_samples, data[:600])] * 10
    results = joblib.Parallel(n_jobs=4, prefer="threads")(joblib.delayed(ask)(rows) for ask, rows in jobs)
    for result, right in zip(results, expected * 10, strict=True):
        np.testing.assert_array_equal(result, right)


def test_what_keeps_attributes_one_by_one_is_told_of_pickle():
    """As skops does, which asks each object for its state."""
    with pytest.raises(TypeError, match="pickle and joblib"):
        fitted().model_.backend.__getstate__()


def test_it_is_quiet_unless_asked(capsys):
    fitted()
    assert capsys.readouterr() == ("", "")
    fitted(verbose=True)
    assert "epoch 3/3" in capsys.readouterr().err


def test_without_scikit_learn_it_says_what_is_missing():
    code = """
import sys
sys.modules["sklearn"] = None
try:
    import minivae.sklearn
except ImportError as error:
    print(error)
"""
    assert run(code) == "minivae.sklearn needs scikit-learn: pip install 'minivae[sklearn]'\n"
