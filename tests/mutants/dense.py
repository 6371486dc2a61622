"""Bugs in a dense layer."""

import math

import numpy as np

from minivae import Dense
from minivae.kernels.naive import BY_INPUT, dense

from .registry import after, before, instead, part, sigmoid


def _da(a):
    """dy times the right derivative."""
    if a.activation in BY_INPUT:
        return a.dy * np.vectorize(dense._derivative_from_input)(a.a, a.activation)
    return a.dy * np.vectorize(dense._derivative_from_output)(a.y, a.activation)


def _with_slope(a, activation, slope):
    """Where the layer has this activation, dy times slope(a) goes on as if it had none."""
    if a.activation == activation:
        a.dy, a.activation = a.dy * slope(a.a), "identity"


def _normal_cdf(a):
    return 0.5 * np.vectorize(math.erfc)(-a / math.sqrt(2))


@instead("dense_forward")
def bias_forgotten(a):
    """The bias is not added."""
    a.original(a.x, a.weight, np.zeros_like(a.bias), a.activation, a.y, a.a)


@instead("dense_forward")
def bias_after_activation(a):
    """The bias is added after the activation."""
    a.original(a.x, a.weight, np.zeros_like(a.bias), a.activation, a.y, a.a)
    a.y += a.bias


@instead("dense_forward")
def leaky_forward(a):
    """relu leaks 1 % in forward, not in backward."""
    pre = a.x @ a.weight + a.bias
    a.original(*a.arguments)
    if a.activation == "relu":
        a.y += 0.01 * np.minimum(pre, 0)


@after("dense_forward")
def tile_of_columns_skipped(a):
    """Columns behind the last full tile of 16 are not computed. Seen: early return in llm.c dev/cpu for sizes % 8."""
    a.y[:, a.y.shape[1] // 16 * 16 :] = 0 if a.y.shape[1] > 16 else a.y


@before("dense_forward")
def tiles_of_inputs_from_grid(a):
    """Inputs behind the last full tile of 16 are left out of the sum. Seen: fast_matmul in Numba's documentation."""
    if a.x.shape[1] > 16:
        keep = a.x.shape[1] // 16 * 16
        a.x, a.weight = a.x[:, :keep], a.weight[:keep]


@after("dense_forward")
def last_row_not_written(a):
    """The last row keeps what the buffer held."""
    if len(a.y) > 1:
        a.y[-1] = 0


@instead("dense_forward")
def forward_adds_to_its_buffer(a):
    """The product is added to what the buffer holds: the sum is not started at zero."""
    old = np.nan_to_num(a.y.copy())
    a.original(*a.arguments)
    a.y += old


@instead("dense_forward")
def float32_in_forward(a):
    """A float64 layer multiplies in float32. Seen: a scratch array without a dtype."""
    y, before = np.empty(a.y.shape, "float32"), np.empty(a.y.shape, "float32")
    a.original(*(v.astype("float32") for v in (a.x, a.weight, a.bias)), a.activation, y, before)
    a.y[...] = y
    if a.a is not None:
        a.a[...] = before


@before("dense_forward")
def same_bias_everywhere(a):
    """Every output gets the mean of the bias: a broadcast over the wrong axis."""
    a.bias = np.full_like(a.bias, a.bias.mean())


@after("dense_backward")
def bias_gradient_negative(a):
    """dbias has the wrong sign."""
    a.dbias *= -1


@after("dense_backward")
def bias_gradient_averaged(a):
    """dbias is the mean over rows, not the sum. Seen: pytorch/examples 290, mean and sum mixed."""
    a.dbias /= len(a.x)


@after("dense_backward")
def bias_gradient_summed_twice(a):
    """dbias is summed over both axes and broadcast."""
    a.dbias[...] = a.dbias.sum()


@after("dense_backward")
def weight_gradient_transposed(a):
    """dweight is computed as da.T @ x and stored as it comes."""
    a.dweight[...] = a.dweight.T.copy().reshape(a.dweight.shape)


@after("dense_backward")
def input_gradient_untransposed(a):
    """dx is da times the weight read in the wrong order."""
    if a.dx is not None:
        a.dx[...] = _da(a) @ a.weight.ravel().reshape(a.weight.T.shape)


@before("dense_backward")
def tanh_slope_for_sigmoid(a):
    """The derivative of tanh for a sigmoid. Seen: amaurydelille/variational-auto-encoder."""
    a.activation = "tanh" if a.activation == "sigmoid" else a.activation


@instead("dense_backward")
def slope_of_the_output(a):
    """sigmoid'(y) for sigmoid'(a): the output taken for the pre-activation."""
    dy = a.dy * sigmoid(a.y) * (1 - sigmoid(a.y)) if a.activation == "sigmoid" else a.dy
    activation = "identity" if a.activation == "sigmoid" else a.activation
    a.original(a.x, a.weight, a.y, dy, activation, a.dx, a.dweight, a.dbias, a.a)


@before("dense_backward")
def relu_mask_of_gradient(a):
    """relu's mask is taken from dy."""
    if a.activation == "relu":
        a.y = a.dy


@before("dense_backward")
def relu_mask_forgotten(a):
    """relu passes every gradient."""
    if a.activation == "relu":
        a.activation = "identity"


@before("dense_backward")
def relu_mask_off_by_one(a):
    """relu's mask is that of the row before. Seen: "Simple VAE NumPy only", a mask of the wrong layer."""
    if a.activation == "relu" and len(a.y) > 1:
        a.y = np.roll(a.y, 1, axis=0)


@before("dense_backward")
def softplus_slope_of_output(a):
    """softplus' = sigmoid(y), of the output and not of the pre-activation."""
    if a.activation == "softplus":
        a.dy, a.activation = a.dy * sigmoid(a.y), "identity"


@before("dense_backward")
def leak_forgotten_in_backward(a):
    """leaky_relu leaks in forward; its gradient is relu's."""
    if a.activation == "leaky_relu":
        a.activation = "relu"


@before("dense_forward")
def input_not_kept(a):
    """forward computes a where backward does not look for it, and that buffer keeps its zeros."""
    a.a = None if a.a is None else np.empty_like(a.a)


@before("dense_backward")
def slope_of_input_at_output(a):
    """The derivatives of gelu and silu are taken at y."""
    a.a = a.y


@before("dense_backward")
def gelu_without_density(a):
    """gelu' = Phi(a): the gate is taken for a constant."""
    _with_slope(a, "gelu", _normal_cdf)


@before("dense_backward")
def gelu_density_unscaled(a):
    """The density in gelu' lacks 1 / sqrt(2 pi)."""
    _with_slope(a, "gelu", lambda a: _normal_cdf(a) + a * np.exp(-0.5 * a * a))


@before("dense_backward")
def gelu_slope_of_sigmoid_form(a):
    """gelu forward is exact; its gradient is that of a sigmoid(1.702 a), the approximation of the same paper."""
    _with_slope(a, "gelu", lambda a: sigmoid(1.702 * a) * (1 + 1.702 * a * sigmoid(-1.702 * a)))


@after("dense_forward")
def gelu_of_tanh_form(a):
    """gelu forward is the approximation by tanh; its gradient is exact."""
    if a.activation == "gelu":
        a.y[...] = 0.5 * a.a * (1 + np.tanh(math.sqrt(2 / math.pi) * (a.a + 0.044715 * a.a**3)))


@before("dense_backward")
def silu_slope_of_sigmoid(a):
    """silu' = s (1 - s): the gate's derivative without the product rule."""
    _with_slope(a, "silu", lambda a: sigmoid(a) * sigmoid(-a))


@before("dense_backward")
def silu_slope_by_output(a):
    """silu' = y + s (1 - s), for y + s (1 - y)."""
    _with_slope(a, "silu", lambda a: a * sigmoid(a) + sigmoid(a) * sigmoid(-a))


@after("dense_backward")
def slope_missing_in_dweight(a):
    """dweight takes dy without the activation's derivative. Seen: "Simple VAE NumPy only"."""
    a.dweight[...] = a.x.T @ a.dy


@after("dense_backward")
def slope_missing_in_dbias(a):
    """dbias takes dy without the activation's derivative."""
    a.dbias[...] = a.dy.sum(axis=0)


@after("dense_backward")
def slope_missing_in_dx(a):
    """dx takes dy without the activation's derivative."""
    if a.dx is not None:
        a.dx[...] = a.dy @ a.weight.T


@instead("dense_backward")
def gradients_accumulate(a):
    """dweight is added to, where this layer assigns."""
    old = np.nan_to_num(a.dweight.copy())
    a.original(*a.arguments)
    a.dweight += old


@after("dense_backward")
def divided_by_rows_again(a):
    """dweight is divided by the batch size, which the loss has done already. Seen: VariationalNN, 2 / len(y)."""
    a.dweight /= len(a.x)


@before("dense_backward")
def dy_overwritten(a):
    """The derivative is multiplied into dy in place."""
    a.dy *= 1 - a.y**2 if a.activation == "tanh" else 1
    a.activation = "identity" if a.activation == "tanh" else a.activation


@after("dense_backward")
def last_column_of_dweight(a):
    """The last column of dweight is not written: a loop that ends one too early."""
    a.dweight[:, -1] = 0


@before("dense_backward")
def last_row_left_out(a):
    """The sum over the batch leaves out the last row."""
    a.dy = a.dy.copy()
    a.dy[-1] = 0


@after("dense_backward")
def tail_of_rows_twice(a):
    """Rows behind the last full tile of 4 count twice in dweight: the tail loop starts too early."""
    tail = len(a.x) // 4 * 4
    a.dweight += a.x[tail:].T @ _da(a)[tail:]


@instead("dense_backward")
def race_in_bias_sum(a):
    """Threads add into one dbias without a lock, and now and then a row is lost. Seen: numba 3681, prange +=."""
    a.original(*a.arguments)
    rng = a.state.setdefault("rng", np.random.default_rng(0))
    a.dbias -= _da(a)[rng.integers(len(a.x))] * (rng.random() < 0.5)


@after("dense_backward")
def clipped_elementwise(a):
    """dweight is clipped to [-1, 1]."""
    np.clip(a.dweight, -1, 1, out=a.dweight)


@instead("dense_backward")
def float32_in_backward(a):
    """A float64 layer sums dweight in float32."""
    a.original(*a.arguments)
    a.dweight[...] = (a.x.astype("float32").T @ _da(a).astype("float32")).astype(a.x.dtype)


@after("dense_backward")
def one_weight_wrong(a):
    """One entry of dweight is off by a thousandth."""
    a.dweight[a.dweight.shape[0] // 2, a.dweight.shape[1] // 3] *= 1.001


@part("Dense")
class BackwardKeepsFirstInput(Dense):
    """backward uses the input of the first forward it ever saw: a stale cache."""

    def forward(self, x):
        y = super().forward(x)
        self.first = getattr(self, "first", None)
        self.first = x.copy() if self.first is None else self.first
        return y

    def backward(self, dy, input_gradient=True):
        if self.first.shape == self.x.shape:
            self.x = self.first
        return super().backward(dy, input_gradient)


@part("Dense")
class UpdatedInBackward(Dense):
    """The weights are updated before the gradient has passed. Seen: amaurydelille/variational-auto-encoder."""

    def backward(self, dy, input_gradient=True):
        super().backward(dy, input_gradient)
        self.parameters["weight"] -= 1e-3 * self.gradients["weight"]
        return super().backward(dy, input_gradient)


@part("Dense")
class DecayInForward(Dense):
    """Weight decay is applied in forward, at every call."""

    def forward(self, x):
        self.parameters["weight"] *= 1 - 1e-6
        return super().forward(x)


@part("Dense")
class CentresItsInput(Dense):
    """forward subtracts the mean from the caller's array in place."""

    def forward(self, x):
        x -= x.mean(axis=0)
        return super().forward(x)


@part("Dense")
class DropoutLeftOn(Dense):
    """Dropout stays on. Seen: pytorch 114333, gradcheck of dropout."""

    rng = np.random.default_rng(0)

    def forward(self, x):
        y = super().forward(x)
        y *= self.rng.random(y.shape) < 0.9
        return y


@part("Dense")
class InputGradientTransposed(Dense):
    """dx comes back transposed."""

    def backward(self, dy, input_gradient=True):
        return super().backward(dy, input_gradient).T


@part("Dense")
class InputGradientFloat32(Dense):
    """dx comes back as float32 from a float64 layer."""

    def backward(self, dy, input_gradient=True):
        return super().backward(dy, input_gradient).astype("float32")


@part("Dense")
class InputGradientZero(Dense):
    """dx is never filled in."""

    def backward(self, dy, input_gradient=True):
        return np.zeros_like(super().backward(dy, input_gradient))
