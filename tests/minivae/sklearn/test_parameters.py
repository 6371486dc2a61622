"""No parameter of `minivae.sklearn.VAE` is ignored: not one that is out of range, nor a change between two calls."""

import pickle
import re

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from .test_estimator import X, fitted


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_components", 0),
        ("n_components", "2"),
        ("hidden_layer_sizes", (8, 0)),
        ("hidden_layer_sizes", 2.5),
        ("hidden_layer_sizes", iter([8])),
        ("hidden_layer_sizes", [8, [4]]),
        ("hidden_layer_sizes", {8, 4}),
        ("hidden_layer_sizes", np.array([[8, 4]])),
        ("activation", "cosine"),
        ("likelihood", "beta_binomial"),
        ("sigma", 0.0),
        ("sigma", "all"),
        ("sigma", True),
        ("beta", -1.0),
        ("learning_rate", -1.0),
        ("batch_size", 0),
        ("max_iter", 0),
        ("n_draws", 0),
        ("verbose", "no"),
        ("backend", "gpu"),
        ("random_state", "seed"),
    ],
)
def test_a_parameter_out_of_range_is_named_before_anything_changes(parameter, value):
    model = fitted()
    before = dict(vars(model))
    name = re.escape(parameter) if parameter != "random_state" else "seed|random_state"
    for call in lambda m: m.fit(X[:, :4]), lambda m: m.partial_fit(X):
        with pytest.raises(ValueError, match=name):
            call(model.set_params(**{parameter: value}))
        after = vars(model.set_params(**{parameter: before[parameter]}))
        assert after == before


MADE_WITH = {
    "n_components": 3,
    "hidden_layer_sizes": (8, 4),
    "activation": "tanh",
    "likelihood": "bernoulli",
    "sigma": "features",
    "backend": "numpy",
    "random_state": 1,
}
GOING_ON = {"beta": 0.5, "learning_rate": 0.1, "batch_size": 7, "n_draws": 3, "max_iter": 2, "verbose": True}


@pytest.mark.parametrize(("parameter", "value"), (MADE_WITH | GOING_ON).items())
def test_no_change_between_calls_is_ignored(parameter, value, capsys):
    """What the model was made with is refused, all else holds from the next call on; `fit` takes both."""
    data = 1 / (1 + np.exp(-X))
    model, same = (fitted(data, backend="cpu") for _ in range(2))
    assert set(model.get_params()) == {*MADE_WITH, *GOING_ON}
    kept, scores = model.get_params()[parameter], [same.score(data)]
    model.set_params(**{parameter: value})
    if parameter in MADE_WITH:
        with pytest.raises(ValueError, match=re.escape(f"{parameter}: got {value!r}, expected {kept!r}, which the")):
            model.partial_fit(data)
        assert model.score(data) == scores[0]
    else:
        changed = model.partial_fit(data).score(data) != same.partial_fit(data).score(data)
        assert changed == (parameter not in ("max_iter", "verbose"))  # one pass is made in any case
        assert ("epoch" in capsys.readouterr().err) == (parameter == "verbose")
    assert model.fit(data).n_iter_ == model.max_iter
    assert (abs(model.score(data) - scores[0]) > 1e-9) == (parameter not in ("backend", "verbose"))
    assert (model.model_.backend.name == "numpy") == (parameter == "backend")


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": 8},
        {"hidden_layer_sizes": np.array([8])},
        {"n_components": np.int64(2)},
        {"max_iter": 1},
    ],
)
def test_the_same_in_other_words_is_no_change(parameters):
    state = np.random.RandomState(0)
    for model in fitted(), pickle.loads(pickle.dumps(fitted(random_state=state))), fitted(random_state=state):
        assert model.set_params(**parameters).partial_fit(X).n_iter_ == 4


def test_a_pickle_of_a_version_that_kept_no_parameters_goes_on():
    """With those that the estimator has, of which a change is refused from then on."""
    model, same = fitted(), fitted()
    del model._made
    model = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match="n_components: got 1, expected 2, which the"):
        pickle.loads(pickle.dumps(model)).set_params(n_components=1).partial_fit(X)
    assert model.partial_fit(X).score(X) == same.partial_fit(X).score(X)


def test_widths_may_be_any_sequence_of_whole_numbers():
    for widths in [8, 4], np.array([8, 4]), 8, np.array(8), ():
        expected = np.atleast_1d(widths).tolist()
        assert fitted(hidden_layer_sizes=widths).model_.config["hidden"] == expected
