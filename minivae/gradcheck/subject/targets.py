"""What is checked, brought into one form: named arrays to perturb in place, outputs, and the gradients claimed.

A target is a scalar function with its gradient, a layer (`forward`, `backward`), a model (`forward` returns something
with a `loss`, `backward()` fills `gradients`), or a pair of functions `(forward, backward)` that hand a cache along:
`y, cache = forward(*inputs)`, `backward(dy, cache)`.
"""

import numpy as np

from ...errors import described, expect
from ..arguments import expect_something, freezer, given_cotangents, real_view
from .calling import identify, owner, required, takes_arguments
from .claims import Finding, assign, sound, spellings
from .inputs import Inputs
from .parameters import Parameters
from .trees import leaves

CACHES = ("cache", "ctx", "context", "saved", "residuals", "tape")  # names of what a forward hands to its backward

COMPLEX = (
    "of complex numbers both parts are checked, each for itself; the gradient g is dL/dRe + i dL/dIm, as torch has it"
)


class Target:
    """One form for everything that can be checked.

    Attributes
    ----------
    name : str
    values, parameters : dict of name to array
        Copies of the inputs, by leaf of the nest in which they came, and the parameters themselves.
    arrays : dict of name to float array
        What is differentiated, moved in place: views of those, with the parts of a complex number as a last axis.
    fixed : what is passed along and not differentiated (frozen noise, labels): a mapping goes by keyword, a sequence
        by position after the inputs.
    generator : a numpy Generator or RandomState set back before every forward, or a callable called before it.
    problems, notes : lists
        What was found on the way, as the report takes it: (kind, sentence), and sentences.
    """

    varied: tuple = ()  # names of inputs that are moved elsewhere beside those by which a gradient is claimed

    def __init__(
        self,
        target,
        inputs,
        *,
        gradient=None,
        parameters=None,
        parameter_gradients=None,
        fixed=(),
        constant=(),
        generator=None,
        cotangent=None,
        accumulates=False,
        seed=0,
    ):
        self.kind, self.target, self.name, self.method, self._forward, self._backward = identify(target, gradient)
        try:
            self.inputs = Inputs(self._forward, inputs, fixed)
        except ValueError as error:
            if not isinstance(target, type) or "missing a required argument" not in str(error):
                raise
            raise ValueError(f"target: got the class {self.name}, expected an instance of it; {error}") from None
        self.values, self.fixed = self.inputs.values, self.inputs.fixed
        self.constant = (constant,) if isinstance(constant, str) else tuple(constant)
        self._freeze, self.frozen = freezer(generator), generator is not None
        self._wanted, self._takes_cotangent = required(self._backward), takes_arguments(self._backward)
        self.own = Parameters(self._holder(), parameters, parameter_gradients, self.values)
        self._told: set[tuple[str, str]] = set()
        self.problems: list[tuple[str, str]] = []
        self.notes: list[str] = []
        # The unit rounding of what is coarser than the arrays: gradients by name, and "outputs".
        self.coarse: dict[str, float] = {}
        self.copies = self.guarded = False  # whether forward gets copies; whether parameters are put back after it
        self.steps: list[tuple] = []  # (held, copy) of arrays to be put back after backward has changed them
        # The names of parameter gradients that backward adds to, and of which the increase is taken:
        self.adds: set[str] = set()
        self.strict = False
        self._arrange()
        if not self.own.searched:
            self.require()
        self.rehearsed: tuple[dict, dict] = {}, {}  # inputs of a first call, and the gradients that were claimed there
        self.more: dict = {}  # what backward returned beside the gradients of the inputs
        self.accumulates = accumulates
        self.evaluations, self.seed, self.given_cotangent = 0, seed, cotangent
        self.cotangents: list[np.ndarray] = []  # until `draw_cotangents`

    def _holder(self):
        """The object whose parameters are looked for."""
        if self.kind == "pair":
            return owner(self._forward, self._backward)
        return self.target if self.kind == "layer" else None

    def _arrange(self):
        """Name what is differentiated, from the inputs and the parameters that there are now."""
        self.parameters = self.own.arrays
        clash = next((n for n in self.parameters if n in self.values), None)
        expect(clash is None, "parameters", f"the name '{clash}'", "names that no input has")
        self.holders = {n: v for n, v in {**self.values, **self.parameters}.items() if v.dtype.kind in "fc"}
        self.holders = {n: v for n, v in self.holders.items() if not self.is_constant(n)}
        self.arrays = {n: real_view(v) for n, v in self.holders.items()}
        self.differentiated = list(self.arrays)  # narrowed once backward has shown what it returns

    def is_constant(self, name):
        return any(name == c or name.startswith(f"{c}.") for c in self.constant)

    def settle(self):
        """After a first forward and backward: look again for parameters, which may not have been there before."""
        self.own.look_again(self, self.more)
        self._arrange()
        known = [*self.inputs.leaves, *self.inputs.nest, *self.parameters, *self.own.names()]
        for c in self.constant:
            fits = any(n == c or n.startswith(f"{c}.") for n in known)
            expect(fits, "constant", c, f"names among {list(dict.fromkeys(known))}")
        self.require()
        if self.is_complex:
            self.note(COMPLEX)

    def require(self):
        """Raises ValueError unless there is something to differentiate by."""
        expect_something(self.arrays, self.inputs.nest)

    def problem(self, kind, about, sentence):
        """Something wrong that does not end the check, told once. Raises Finding away from the values that were given,
        where `strict` is set: the caller knows what it means there.
        """
        if (kind, about) in self._told:
            return
        if self.strict:
            raise Finding(kind, sentence)
        self._told.add((kind, about))
        self.problems.append((kind, sentence))

    def note(self, sentence):
        if sentence not in self.notes:
            self.notes.append(sentence)

    def forget(self):
        """Drop what was found so far: a rehearsal away from the values that were given."""
        for found in (self.problems, self.notes, self._told, self.coarse):
            found.clear()

    @property
    def is_complex(self):
        """Whether anything here is a complex number."""
        return any(np.iscomplexobj(a) for a in [*self.values.values(), *self.parameters.values(), *self.cotangents])

    def call(self, values=None):
        """Run forward on `values` (default: the current inputs); returns what it returned."""
        self._freeze()
        self.own.push()
        self.evaluations += 1
        return self._kept("forward", lambda: self.inputs.call(self._forward, values or self.values, self.copies))

    def _kept(self, who, run):
        """What `run` gives; with parameters that it replaced put back, and all if it is known to write to them."""
        kept = {name: array.copy() for name, array in self.parameters.items()} if self.guarded else {}
        try:
            return run()
        finally:
            for name, array in kept.items():
                self.parameters[name][...] = array
            for held, array in self.steps:
                held.put(held.array)
                held.array[...] = array
            for name in self.own.put_back():
                text = (
                    f"{who} replaced parameter '{name}' by another array: only the optimizer may, after all gradients"
                )
                self.problem("state", f"parameter '{name}'", f"{text} are taken")

    def outputs(self, values=None):
        """Forward at the current values, or at these: a list of arrays (not copied). Raises Finding."""
        try:
            result = self.call(values)
        except Finding:  # of a check's own functions
            raise
        except Exception as error:
            raise Finding("raises", f"forward raised {type(error).__name__}: {error}") from error
        return self.unpack(result)

    def unpack(self, result):
        """The arrays in what forward returned; keeps a pair's cache."""
        if self.kind == "layer" and self._hands_a_cache(result):
            self.kind = "pair"
        if self.kind == "pair":
            if not (isinstance(result, (tuple, list)) and len(result) == 2):
                raise Finding("output", f"forward returned {described(result)}: a pair's forward returns (y, cache)")
            result, self.cache = result
        if self.kind in ("layer", "model") and hasattr(result, "loss"):
            self.kind, result = "model", result.loss
        if result is None and self.kind == "layer":
            result = getattr(self.target, "output", None)  # a layer that keeps what it computes
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        try:
            arrays = [np.asarray(y) for y in results]
        except ValueError:
            arrays = [np.asarray(None)]
        if any(y.dtype.kind not in "fc" for y in arrays):
            raise Finding("output", f"forward returned {described(result)}: expected float arrays")
        if self.kind == "function" and (len(arrays) != 1 or arrays[0].size != 1):
            raise Finding("output", f"the function returned {described(result)}: expected a scalar")
        return arrays

    def _hands_a_cache(self, result):
        """Whether a layer's forward returned (y, cache), for a backward(dy, cache)."""
        wanted = self._wanted
        if not isinstance(result, tuple) or len(result) != 2 or wanted is None or len(wanted) != 2:
            return False
        arrays = isinstance(result[1], (np.ndarray, np.generic, float)) and np.asarray(result[1]).dtype.kind in "fc"
        return wanted[1].strip("_").lower() in CACHES or (not arrays and wanted[1] not in self.inputs.nest)

    def vector(self):
        """Forward at the current values as one 1-D float64 copy. Raises Finding."""
        return flat(self.outputs())

    def claimed(self):
        """Forward, then the gradients claimed: dict of name to copy. Raises Finding."""
        return self.backward(self.outputs())

    def draw_cotangents(self, outputs):
        """Random weights that make the outputs a scalar; never all ones, which hide errors that cancel in a sum."""
        if self.given_cotangent is not None:
            self.cotangents = given_cotangents(self.given_cotangent, outputs)
            if not self._handed_a_cotangent():
                ones = all(np.all(c == 1.0) for c in self.cotangents)
                text = f"None, or ones: backward of a {self.kind} is not handed any"
                expect(ones, "cotangent", self.given_cotangent, text)
        elif not self._handed_a_cotangent():
            self.cotangents = [np.ones(y.shape, y.dtype) for y in outputs]
        else:
            rng = np.random.default_rng((self.seed, 1))
            self.cotangents = [_normals(rng, y) for y in outputs]
        return flat(self.cotangents)

    def _handed_a_cotangent(self):
        return self._takes_cotangent and self.kind not in ("model", "function")

    def backward(self, outputs):
        """The gradients claimed after a forward that returned `outputs`. Raises Finding."""
        handed = [c.copy() for c in self.cotangents]
        before = {}
        if self.accumulates:
            self.own.clear()
        elif self.adds:
            self.own.clear()  # what is small would be lost in what has gathered there; copies stay as they are
            before = {n: np.array(g) for n, g in self.own.claims({}).items() if n in self.adds}
        returned = self._kept("backward", lambda: self._run_backward(handed))
        for i, (mine, theirs) in enumerate(zip(self.cotangents, handed, strict=True)):
            if not np.array_equal(mine, theirs):
                self.problem("mutates", f"dy {i}", f"backward changed its argument (dy {i}) in place: work on a copy")
        live = [n for n, part in self.inputs.nest.items() if any(leaf in self.arrays for leaf in leaves(part, n))]
        if self.kind == "model":
            returned = None
        elif returned is None and self.kind == "layer":
            returned = self._kept_gradient(live)
        found, more, text = assign(self.inputs.nest, returned, live, len(self.inputs.place) + len(self.inputs.named))
        expected, self.more = not more, dict(more)
        found.update(self.own.claims(more))
        for sentence in self.own.tied.values():
            self.note(sentence)
        short = text and expected  # fewer came than there are inputs
        if text and (more or short):
            self.problem("shape", "count", text)
        elif more:
            self.note(f"backward returned a gradient for {next(iter(more))!r}, which is no input and no parameter")
        self.silent = [n for n in self.arrays if found.get(n) is None and not (short and n in self.values)]
        came = [n for n in self.arrays if found.get(n) is not None]
        if not came:
            raise Finding("nothing", "backward returned no gradient and there are no parameters: nothing to check")
        found = {n: sound(self, n, found[n] - before[n] if n in before else found[n]) for n in came}
        found = {n: g for n, g in found.items() if g is not None}
        self.differentiated = list(found)
        return found

    def _run_backward(self, handed):
        try:
            if self.kind == "function":
                given = callable(self._backward)
                return self.inputs.call(self._backward, self.values, self.copies) if given else self._backward
            if self.kind == "pair":
                return self._backward(*handed, self.cache)
            if self.kind == "model" or not self._takes_cotangent:
                return self._backward()
            return self._backward(*self._handed(handed))
        except Finding:
            raise
        except Exception as error:
            word = "gradient" if self.kind == "function" else "backward"
            raise Finding("raises", f"{word} raised {type(error).__name__}: {error}") from error

    def _handed(self, cotangents):
        """What a layer's backward is called with: the cotangents, and inputs that it asks for by forward's names."""
        asked = [n for n in self._wanted or () if n in self.inputs.nest]
        if len(self._wanted or ()) != len(cotangents) + len(asked):
            return cotangents
        arguments, rest = self.inputs.arguments(self.values), iter(cotangents)
        return [arguments[n] if n in asked else next(rest) for n in self._wanted]

    def _kept_gradient(self, live):
        """The gradients of the inputs of a layer that keeps them as attributes and returns nothing."""
        names = {n: spellings(n) for n in live}
        if len(live) == 1:
            names[live[0]] += ["dinputs", "dinput", "grad_input", "gradInput", "input_grad", "dx", "dX"]
        own = {
            n: next((getattr(self.target, s) for s in some if hasattr(self.target, s)), None)
            for n, some in names.items()
        }
        return own if any(g is not None for g in own.values()) else None

    def output_place(self, position):
        """Where the flat output `position` lies, as text after "at [index]"."""
        if self.kind in ("model", "function"):
            return ""
        for i, c in enumerate(self.cotangents):
            parts = 2 if np.iscomplexobj(c) else 1
            if position < c.size * parts:
                where = [int(k) for k in np.unravel_index(position // parts, c.shape)]
                return f" (output{'' if len(self.cotangents) == 1 else f' {i}'} {where})"
            position -= c.size * parts
        return ""


def _normals(rng, y):
    values = rng.standard_normal(y.shape)
    return np.asarray(values + 1j * rng.standard_normal(y.shape) if np.iscomplexobj(y) else values, dtype=y.dtype)


def flat(arrays):
    """One 1-D float64 copy of several arrays; of a complex number the real part and then the imaginary."""
    parts = [np.asarray(y) for y in arrays]
    parts = [y.astype(np.complex128 if np.iscomplexobj(y) else np.float64).reshape(-1) for y in parts]
    return np.concatenate([y.view(np.float64) for y in parts])
