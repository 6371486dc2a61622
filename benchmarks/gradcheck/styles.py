"""The same few layers in the styles that people write, gradients that never come, and layers that misbehave."""

from types import SimpleNamespace

import numpy as np

from .norms import MODE
from .registry import family

NEVER = r"(no gradient|never|missing|None|not (given|returned|set|found|there)|lacks|no .*gradient)"


class Attributes:
    """W and b with dW and db, under whatever names; gradients are set by backward."""

    def __init__(self, data, names, bug):
        self.names, self.bug = names, bug
        for name, value in zip(names, (data.normal(5, 4), data.normal(4)), strict=False):
            setattr(self, name, value)

    def forward(self, x):
        self.x = x
        return x @ getattr(self, self.names[0]) + getattr(self, self.names[1])

    def backward(self, dy):
        _, _, dW, db = self.names
        factor = {"weight_times_3": 3, "weight_sign": -1}.get(self.bug, 1)
        setattr(self, dW, factor * self.x.T @ dy)
        if self.bug != "bias_forgotten":
            setattr(self, db, dy.mean(0) if self.bug == "bias_averaged" else dy.sum(0))
        if self.bug == "weight_none":
            setattr(self, dW, None)
        return (2 if self.bug == "input_times_2" else 1) * dy @ getattr(self, self.names[0]).T


@family(
    W="weight_sign",
    b="bias_averaged",
    x="input_times_2",
    said={
        r"\bW\b.*factor 3|\bW\b.*(parameters|gradient)": "weight_times_3",
        rf"W\b.*{NEVER}|{NEVER}.*W\b": "weight_none",
        rf"b\b.*{NEVER}|{NEVER}.*b\b": "bias_forgotten",
    },
)
def attributes_w_and_dw(data, bug):
    return Attributes(data, ("W", "b", "dW", "db"), bug), data.normal(6, 5)


class Lists:
    """params and grads, parallel lists, the gradients written in place."""

    def __init__(self, data, bug):
        self.bug, self.params = bug, [data.normal(5, 4), data.normal(4)]
        self.grads = self.own = [np.zeros_like(p) for p in self.params]

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dy):
        dW, db = (3 if self.bug == "weight_times_3" else 1) * self.x.T @ dy, dy.sum(0)
        self.own[0][...] = dW
        if self.bug != "bias_not_written":
            self.own[1][...] = db
        spoilt = {"one_short": [dW], "second_none": [dW, None], "exchanged": [db, dW], "empty": []}
        self.grads = spoilt.get(self.bug, self.own)
        return dy @ self.params[0].T


LIST_BUGS = {
    r"factor 3|\b0\b|params": "weight_times_3",
    "zero|never|no gradient": "bias_not_written",
    r"params|grads|gradients?\b": "one_short",
    rf"{NEVER}|\b1\b": "second_none",
    "shape|exchanged": "exchanged",
    rf"parameter_gradients|parameters=|params|{NEVER}": "empty",
}


@family(said=LIST_BUGS)
def lists_params_and_grads(data, bug):
    return Lists(data, bug), data.normal(6, 5)


class Mappings:
    """Dicts params and grads, new gradients at each backward."""

    def __init__(self, data, bug):
        self.bug, self.params, self.grads = bug, {"W": data.normal(5, 4), "b": data.normal(4)}, {}
        self.training, self.calls = True, 0

    def forward(self, x):
        if self.bug == "centres_in_place":
            x -= x.mean(0)
        if self.bug == "evaluation_halved_forward" and not self.training:
            return 0.5 * (x @ self.params["W"]) + self.params["b"]
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy):
        bug, x = self.bug, self.x
        if bug == "changes_dy":
            dy[0, 0] += 1e-3
        if bug == "first_batch_kept":
            self.first = x = getattr(self, "first", x)
        db = dy.sum(0)
        dW = x.T @ dy
        self.grads = {
            "adds_up": {"W": dW, "b": db + (self.grads.get("b", 0) if bug == "adds_up" else 0)},
            "not_initialized": {"W": dW, "b": np.append(db[:-1], np.nan)},
            "rows_reversed": {"W": dW, "b": db[::-1].copy()},
            "key_missing": {"W": dW},
            "value_none": {"W": dW, "b": None},
            "no_keys": {},
            "transposed": {"W": dW.T, "b": db},
            "half_precision": {"W": dW.astype(np.float16).astype(dW.dtype), "b": db},
        }.get(bug, {"W": dW, "b": db})
        if bug == "steps_in_backward":
            self.params["W"] -= 1e-6 * dW
        return None if bug == "no_input_gradient" else dy @ self.params["W"].T


@family(
    b="key_missing value_none",
    W="half_precision",
    said={
        "in place|changed": "centres_in_place",
        r"dy|argument": "changes_dy",
        r"earlier|first|stale|\bW\b": "first_batch_kept",
        r"b\b.*nan": "not_initialized",
        "adds|grows|accumulat": "adds_up",
        r"changed parameter|W\b.*changed": "steps_in_backward",
        r"b\b.*revers": "rows_reversed",
        r"\bW\b|\bb\b": "no_keys",
        r"W.*(shape|transposed)": "transposed",
        rf"x\b.*{NEVER}|{NEVER}.*\bx\b": "no_input_gradient",
        MODE: "evaluation_halved_forward",
    },
)
def mappings(data, bug):
    layer = Mappings(data, bug)
    return layer, data.normal(6, 5), {"parameters": layer.params, "parameter_gradients": lambda: layer.grads}


class Model:
    """forward returns something with a loss; backward takes nothing and fills gradients."""

    def __init__(self, data, bug):
        self.bug, self.gradients = bug, {}
        self.parameters = {"W": data.normal(4, 3), "b": data.normal(3), "V": data.normal(3, 1)}

    def forward(self, x):
        p = self.parameters
        self.x, self.hidden = x, np.tanh(x @ p["W"] + p["b"])
        self.y = self.hidden @ p["V"]
        return SimpleNamespace(loss=0.5 * (self.y**2).mean())

    def backward(self):
        dy = self.y / (1 if self.bug == "not_averaged" else len(self.y))
        da = dy @ self.parameters["V"].T * (1 - self.hidden ** (1 if self.bug == "not_squared" else 2))
        self.gradients = {"W": self.x.T @ da, "b": da.sum(0), "V": self.hidden.T @ dy}
        if self.bug == "bias_forgotten":
            del self.gradients["b"]


@family(W="not_squared", said={r"V.*factor 6": "not_averaged", rf"b\b.*{NEVER}|{NEVER}.*b\b": "bias_forgotten"})
def model_with_loss(data, bug):
    return Model(data, bug), data.normal(6, 4)


@family(
    b="none key_left_out key_none",
    said={
        r"\bb\b|1 gradients? for 2": "second_left_out",
        r"\bx\b|\bb\b|no gradient": "empty_mapping all_none",
        r"b\b.*zero": "zeros",
        rf"x\b.*{NEVER}|{NEVER}.*x\b": "first_none",
    },
)
def gradients_that_never_come(data, bug):
    """x sigmoid(b x) with a gain b, as a pair; every way of not giving the gradient of one of them."""

    def forward(x, b):
        s = logistic(b * x)
        return x * s, (x, b, s)

    def backward(dy, cache):
        x, b, s = cache
        slope = dy * x * s * (1 - s)
        dx, db = dy * s + slope * b, (slope * x).sum(0)
        ways = {
            "none": (dx, None),
            "second_left_out": (dx,),
            "key_left_out": {"x": dx},
            "empty_mapping": {},
            "key_none": {"x": dx, "b": None},
            "all_none": None,
            "zeros": (dx, np.zeros_like(db)),
            "first_none": (None, db),
        }
        return ways.get(bug, (dx, db))

    return (forward, backward), (data.normal(4, 3), data.normal(3))


def logistic(x):
    return 1 / (1 + np.exp(-x))


@family(
    out="branch_none",
    said={
        r"layers\.1\.W.*factor 2|layers\.1\.W.*twice": "leaf_wrong",
        r"layers\.0\.b": "leaf_none leaf_left_out",
        r"layers|out": "branch_left_out",
        r"layers\.0\.W.*(exchanged|belong)|layers\.1\.W.*(exchanged|belong)": "leaves_exchanged",
        r"layers\.0\.W.*transposed": "leaf_transposed",
        r"out\.W.*zero": "leaf_zero",
        r"parameters|layers|out": "empty",
    },
)
def nested_parameters(data, bug):
    """A scalar function of a dict of lists of dicts, as JAX's users hold parameters."""
    x = data.normal(5, 4)

    def loss(parameters):
        hidden = x
        for layer in parameters["layers"]:
            hidden = np.tanh(hidden @ layer["W"] + layer["b"])
        return np.sum((hidden @ parameters["out"]["W"]) ** 2)

    def gradient(parameters):
        states = [x]
        for layer in parameters["layers"]:
            states.append(np.tanh(states[-1] @ layer["W"] + layer["b"]))
        W = parameters["out"]["W"]
        dy = 2 * states[-1] @ W
        dout, dh, layers = states[-1].T @ dy, dy @ W.T, []
        for k in (1, 0):
            da = dh * (1 - states[k + 1] ** 2)
            layers.insert(0, {"W": states[k].T @ da, "b": da.sum(0)})
            dh = da @ parameters["layers"][k]["W"].T
        return spoil({"layers": layers, "out": {"W": dout}}, bug)

    layers = [{"W": data.normal(4, 4, scale=0.6), "b": data.normal(4)} for _ in range(2)]
    return loss, ({"layers": layers, "out": {"W": data.normal(4, 1)}},), {"gradient": gradient}


def spoil(gradients, bug):
    (first, second), out = gradients["layers"], gradients["out"]
    return {
        "leaf_wrong": {"layers": [first, second | {"W": 2 * second["W"]}], "out": out},
        "leaf_none": {"layers": [first | {"b": None}, second], "out": out},
        "leaf_left_out": {"layers": [{"W": first["W"]}, second], "out": out},
        "branch_left_out": {"out": out},
        "branch_none": gradients | {"out": None},
        "leaves_exchanged": {"layers": [first | {"W": second["W"]}, second | {"W": first["W"]}], "out": out},
        "leaf_transposed": {"layers": [first | {"W": first["W"].T}, second], "out": out},
        "leaf_zero": gradients | {"out": {"W": 0 * out["W"]}},
        "empty": {},
    }.get(bug, gradients)


@family(x="second_output_ignored quantized", said={"random|draw|call": "random_rounding"})
def two_outputs(data, bug):
    rng = np.random.default_rng(3)

    def forward(x):
        return (np.sin(x), x**2), x

    def backward(dsine, dsquare, x):
        dx = dsine * np.cos(x) + (0 if bug == "second_output_ignored" else 2 * x * dsquare)
        if bug == "quantized":  # as bfloat16 keeps 8 bits
            mantissa, exponent = np.frexp(dx)
            dx = np.ldexp(np.round(mantissa * 256) / 256, exponent)
        return dx * (1 + 0.01 * rng.standard_normal(dx.shape)) if bug == "random_rounding" else dx

    return (forward, backward), data.normal(5, 4)
