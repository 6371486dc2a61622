"""One dense layer in the styles in which people write them: where the parameters are, and where backward leaves what.

Each class takes `wrong`, by which the gradient of the weight is multiplied; `names` are the arrays that are checked.
"""

from types import SimpleNamespace

import numpy as np

from .foreign_layers import data


class Dense:
    names = ("x", "W", "b")

    def __init__(self, wrong=1.0, inputs=4, outputs=3, seed=2):
        self.W, self.b, self.wrong = data(inputs, outputs, seed=seed), data(outputs, seed=seed + 1), wrong

    def weights(self):
        return self.W, self.b

    def forward(self, x):
        w, b = self.weights()
        self.x = x.copy()
        return x @ w + b

    def backward(self, dy):
        self.keep(self.wrong * (self.x.T @ dy), dy.sum(axis=0))
        return dy @ self.weights()[0].T

    def keep(self, dw, db):
        self.dW, self.db = dw, db


class Suffix(Dense):
    def keep(self, dw, db):
        self.W_grad, self.grad_b = dw, db


class ShortGradients(Dense):
    names = ("x", "weight", "bias")

    def __init__(self, wrong=1.0):
        super().__init__(wrong)
        for old, new in zip("Wb", self.names[1:], strict=True):
            setattr(self, new, self.__dict__.pop(old))

    def weights(self):
        return [getattr(self, name) for name in self.names[1:]]


class Underscore(ShortGradients):
    names = ("x", "_W", "_b")

    def keep(self, dw, db):
        self._dW, self._db = dw, db


class LongNames(Dense):
    """nnfs.io's: nothing is returned, neither by forward nor by backward."""

    names = ("inputs", "weights", "biases")

    def __init__(self, wrong=1.0):
        self.weights, self.biases, self.wrong = data(4, 3), np.zeros((1, 3)), wrong

    def forward(self, inputs):
        self.inputs = inputs
        self.output = inputs @ self.weights + self.biases

    def backward(self, dvalues):
        self.dweights = self.wrong * (self.inputs.T @ dvalues)
        self.dbiases = dvalues.sum(axis=0, keepdims=True)
        self.dinputs = dvalues @ self.weights.T


class Lists(Dense):
    """Deep learning from scratch: parallel lists, gradients written in place."""

    names = ("x", "params.0", "params.1")

    def __init__(self, wrong=1.0):
        self.params, self.wrong = [data(4, 3), data(3)], wrong
        self.grads = [np.zeros((4, 3)), np.zeros(3)]

    def weights(self):
        return self.params

    def keep(self, dw, db):
        self.grads[0][...], self.grads[1][...] = dw, db


class ListsOfAttributes(Dense):
    def __init__(self, wrong=1.0):
        super().__init__(wrong)
        self.parameters = [self.W, self.b]

    def keep(self, dw, db):
        self.gradients = [dw, db]


class Methods(Dense):
    def parameters(self):
        return [self.W, self.b]

    def gradients(self):
        return [self.dW, self.db]


class Couples(Dense):
    def params_and_grads(self):
        yield self.W, self.dW
        yield self.b, self.db

    dW = db = None


class GetParameters(Dense):
    def get_params(self):
        return {"W": self.W, "b": self.b}

    def get_grads(self):
        return {"W": self.dW, "b": self.db}


class Copies(GetParameters):
    """Copies cannot be moved: the attributes are."""

    def get_params(self):
        return {"W": self.W.copy(), "b": self.b.copy()}


class Hyperparameters(Dense):
    def get_params(self, deep=True):
        return {"units": 3, "rate": 0.1}


class GradientsBeside(Dense):
    def keep(self, dw, db):
        self.grads = {"W": dw, "db": db}


class Containers(Dense):
    names = ("x", "w.kernel", "w.bias")

    def __init__(self, wrong=1.0):
        self.w, self.dw, self.wrong = {"kernel": data(4, 3), "bias": data(3)}, {}, wrong

    def weights(self):
        return list(self.w.values())

    def keep(self, dw, db):
        self.dw.update(kernel=dw, bias=db)


class Objects(Dense):
    """Each parameter an object with its data and its gradient, named by the attribute."""

    def __init__(self, wrong=1.0):
        super().__init__(wrong)
        self.W, self.b = SimpleNamespace(data=self.W, grad=None), SimpleNamespace(data=self.b, grad=None)

    def weights(self):
        return self.W.data, self.b.data

    def keep(self, dw, db):
        self.W.grad, self.b.grad = dw, db


class ObjectsByMethod(Objects):
    def parameters(self):
        return [self.W, self.b]


class Lazy(Dense):
    def __init__(self, wrong=1.0):
        self.wrong = wrong

    def weights(self):
        if not hasattr(self, "W"):
            self.W, self.b = data(4, 3), data(3)
        return self.W, self.b


class LazyMappings(Lazy):
    parameters = None

    def weights(self):
        weights = super().weights()
        self.parameters = dict(zip("Wb", weights, strict=True))
        return weights

    def keep(self, dw, db):
        self.gradients = {"W": dw, "b": db}


class Slots(Dense):
    __slots__ = ("W", "b", "dW", "db", "wrong", "x")


class Buffers(Dense):
    """What backward needs is written into arrays that stay, and the gradient of x is kept beside the copy of x."""

    def __init__(self, wrong=1.0):
        super().__init__(wrong)
        self.x, self.dx = np.zeros((5, 4)), np.zeros((5, 4))

    def forward(self, x):
        self.x[...] = x
        return self.x @ self.W + self.b

    def backward(self, dy):
        self.dx[...] = super().backward(dy)
        return self.dx


class Returned(Dense):
    def backward(self, dy):
        return {"dx": super().backward(dy), "dW": self.kept[0], "db": self.kept[1]}

    def keep(self, dw, db):
        self.kept = (dw, db)


class ReturnedBeside(Returned):
    def backward(self, dy):
        returned = super().backward(dy)
        return returned["dx"], {"W": returned["dW"], "b": returned["db"]}


class ReturnedInOrder(Dense):
    def backward(self, dy):
        return dy @ self.W.T, self.wrong * (self.x.T @ dy), dy.sum(axis=0)


class Network(Dense):
    """Layers in a list and in an attribute, by the names of both."""

    names = ("x", "layers.0.W", "layers.0.b", "head.W", "head.b")

    def __init__(self, wrong=1.0):
        self.layers, self.head = [Dense(), np.tanh], Dense(wrong, 3, 2, 5)

    def forward(self, x):
        self.y = np.tanh(self.layers[0].forward(x))
        return self.head.forward(self.y)

    def backward(self, dy):
        return self.layers[0].backward(self.head.backward(dy) * (1 - self.y**2))


class NetworkOfDicts(Network):
    names = ("x", "layers.first.W", "layers.first.b", "head.W", "head.b")

    def __init__(self, wrong=1.0):
        super().__init__(wrong)
        self.layers = {"first": self.layers[0], 0: self.layers[0]}


class NetworkOfNameless(Network):
    """The head is of a class that `exec` made in code without a name."""

    def __init__(self, wrong=1.0):
        super().__init__(wrong)
        self.head.__class__ = type("Nameless", (Dense,), {"__module__": "builtins"})


STYLES = [Dense]
for style in STYLES:
    STYLES += style.__subclasses__()
