"""check_gradients on torch: its own functions, Functions written by hand, modules; where PyTorch is installed."""

import numpy as np
import pytest

from minivae.gradcheck import check_gradients, check_jvp, check_second

torch = pytest.importorskip("torch", reason="PyTorch is not installed; its functions are checked, it is not needed")

from torch import nn  # noqa: E402

from benchmarks.gradcheck import torch_cases  # noqa: E402

DTYPES = [torch.float64, torch.float32]
RIGHT = torch_cases.OWN | torch_cases.RIGHT


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normals(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_pass(name, dtype):
    case = RIGHT[name]
    report = check_gradients(torch_cases.build(case, dtype), torch_cases.arrays(case, dtype))
    assert report, report
    assert report.arrays
    assert report.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", torch_cases.WRONG)
def test_planted_bugs_are_seen(name, dtype):
    case = torch_cases.WRONG[name]
    report = check_gradients(case.target, torch_cases.arrays(case, dtype))
    assert not report, report
    assert name in str(report)
    assert not any(kind == "raises" for kind, _ in report.problems), report


def network():
    torch.manual_seed(0)
    parts = [nn.LazyLinear(6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Dropout(0.4), nn.Linear(6, 2)]
    return nn.Sequential(*parts)


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_a_module_is_checked_with_all_its_parameters_and_left_as_it_was():
    module = network()
    with torch.no_grad():
        module(normals(5, 4, dtype=torch.float32))
    module = module.double()
    module[4].bias.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    report = check_gradients(module, normals(5, 4))
    assert report, report
    names = ["0.bias", "0.weight", "1.bias", "1.weight", "4.weight", "input"]
    assert sorted(array.name for array in report.arrays) == names
    assert any("frozen" in note and "4.bias" in note for note in report.notes)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(part.training for part in module.modules())
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_parameters_that_exist_only_after_the_first_forward():
    torch.manual_seed(0)
    module = nn.Sequential(nn.LazyLinear(3), nn.Tanh())
    report = check_gradients(module, normals(4, 2, dtype=torch.float32))
    assert report, report
    assert report["0.weight"].shape == (3, 2)


def test_a_module_whose_own_function_is_wrong():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(normals(4, 4))

        def forward(self, x, mask):
            return torch_cases.WRONG["Linear_gradient_transposed"].target.apply(x * mask, self.weight)

    report = check_gradients(Scaled(), normals(5, 4), fixed={"mask": torch.ones(5, 4)})
    assert not report
    report = check_gradients(Scaled(), normals(4, 4), fixed={"mask": torch.ones(4, 4)})
    assert report["weight"].verdict == "wrong"
    assert "transposed" in report["weight"].diagnosis
    assert report["x"].verdict == "right"


def test_nested_inputs_and_outputs_and_what_is_not_checked():
    linear = nn.Linear(3, 2).double()
    parameters = {"layers": [{"w": normals(3, 2)}], "shift": normals(2, seed=1)}

    def function(p, x, index):
        y = torch.tanh(x @ p["layers"][0]["w"] + p["shift"]) + linear(x)
        return {"y": y[index], "largest": y.argmax(), "aside": y.detach()}

    report = check_gradients(function, (parameters, normals(4, 3, seed=2), torch.tensor([0, 2])))
    assert report, report
    assert [array.name for array in report.arrays] == ["p.layers.0.w", "p.shift", "x"]
    assert any("[(2,), (2, 3)]" in note and "parameters=" in note for note in report.notes)
    assert any("output aside" in note for note in report.notes)
    options = {"parameters": dict(linear.named_parameters()), "fixed": (torch.tensor([0, 2]),)}
    report = check_gradients(function, (parameters, normals(4, 3, seed=2)), **options)
    assert report, report
    assert report["weight"].verdict == report["bias"].verdict == "right"


def test_a_gradient_that_never_came():
    report = check_gradients(torch_cases.WRONG["LayerNorm_gain_without_gradient"].target, (normals(4, 6), normals(6)))
    assert not report
    assert any("'gain'" in sentence for _, sentence in report.problems) or report["gain"].verdict == "wrong"
    everything = check_gradients(
        torch_cases.WRONG["LayerNorm_gain_without_gradient"].target, (normals(4, 6), normals(6)), constant=("gain",)
    )
    assert everything, everything


def test_complex_tensors_have_the_convention_of_torch():
    z = torch.complex(normals(3, 2), normals(3, 2, seed=1))
    assert check_gradients(lambda z, x: {"a": (z * x).sin(), "b": (z.abs() ** 2).sum()}, (z, normals(3, 2, seed=2)))
    wrong = torch_cases.function(lambda z: z * z, lambda dy, z: 2 * z * dy, "Square")
    assert not check_gradients(wrong, z)
    right = torch_cases.function(lambda z: z * z, lambda dy, z: 2 * z.conj() * dy, "Square")
    assert check_gradients(right, z)


def test_written_by_hand_without_autograd():
    class Affine:
        def __init__(self):
            self.weight = normals(3, 2)

        def forward(self, x):
            self.x = x
            return x @ self.weight

        def backward(self, dy):
            self.dweight = self.x.T @ dy * self.factor
            return dy @ self.weight.T

    layer = Affine()
    for layer.factor, verdict in ((1.0, "right"), (2.0, "wrong")):
        options = {"parameters": {"weight": layer.weight}, "parameter_gradients": lambda: {"weight": layer.dweight}}
        assert check_gradients(layer, normals(4, 3), **options)["weight"].verdict == verdict
        assert check_gradients(layer, normals(4, 3))["weight"].verdict == verdict
    pair = (lambda x, w: (x * w, (x, w)), lambda dy, cache: (dy * cache[1], (dy * cache[0]).sum(0)))
    assert check_gradients(pair, (normals(4, 3), normals(3)))
    assert not check_gradients((pair[0], lambda dy, c: (dy * c[1], (dy * c[0]).mean(0))), (normals(4, 3), normals(3)))
    assert check_gradients(lambda x: (x**3).sum(), normals(4), gradient=lambda x: 3 * x**2)
    assert not check_gradients(lambda x: (x**3).sum(), normals(4), gradient=lambda x: 2 * x**2)


def test_numpy_arrays_and_the_name_of_the_library():
    x = np.linspace(-1, 1, 5)
    assert check_gradients(lambda x: torch.sin(x), x, gradient="torch")
    with pytest.raises(ValueError, match="'torch' or 'jax'"):
        check_gradients(lambda x: x, x)
    with pytest.raises(ValueError, match=r"input 'x': got 'torch.float16'"):
        check_gradients(lambda x: x, normals(3).half())
    with pytest.raises(ValueError, match=r"parameter 'weight': got 'torch.bfloat16'"):
        check_gradients(nn.Linear(3, 2).bfloat16(), normals(4, 3))


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(x, w):
        return x**3 * w

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return 3 * x**2 * w * dy, (x**3 * dy).sum(0)

    @staticmethod
    def jvp(ctx, dx, dw):
        x, w = ctx.saved_tensors
        return 3 * x**2 * w * dx + x**3 * dw


class Detached(Cube):
    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return 3 * x.detach() ** 2 * w * dy, (x**3 * dy).sum(0)


class HalfPushed(Cube):
    @staticmethod
    def jvp(ctx, dx, dw):
        x, w = ctx.saved_tensors
        return 3 * x**2 * w * dx


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # within torch's forward mode
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_double_backward_and_forward_mode(dtype):
    at = normals(4, 3, dtype=dtype), normals(3, dtype=dtype, seed=1)
    assert check_second(Cube, at)
    assert check_jvp(Cube, at)
    assert check_gradients(Detached, at)
    report = check_second(Detached, at)
    assert [array.name for array in report.arrays if array.verdict == "wrong"] == ["x"]
    report = check_jvp(HalfPushed, at)
    assert report["output"].verdict == "wrong"
    assert report.problems[0][0] == "jvp"
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 1)).to(dtype)
    assert check_second(module, at[0])
    assert check_jvp(module, at[0])


@pytest.mark.parametrize("own", [False, True])
def test_a_mask_kept_from_the_first_draw_shows_with_another(own):
    """Drawn from torch's global generator, which nobody has to name, or from one that is handed over."""
    generator = torch.Generator().manual_seed(3) if own else None
    options = {"generator": generator} if own else {}
    for keeps in (False, True):
        first: dict = {}

        def forward(x, first=first, keeps=keeps):
            mask = (torch.rand(x.shape, generator=generator) < 0.6).to(x.dtype)
            return x * mask, first.setdefault(x.shape, mask) if keeps else mask

        before = torch.get_rng_state() if generator is None else generator.get_state()
        report = check_gradients((forward, lambda dy, mask: dy * mask), torch.ones(5, 4).double(), **options)
        assert bool(report) is not keeps, report
        assert ("with another draw: gradient of 'x' is wrong" in str(report)) is keeps
        assert torch.equal(before, torch.get_rng_state() if generator is None else generator.get_state())
    report = check_gradients(torch.tanh, torch.ones(5, 4).double())
    assert report
    assert "with another draw" not in str(report), "where nothing is drawn"


class Doubles(torch.autograd.Function):
    """Changes its input in place."""

    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        return 2 * dy


class Marked(Doubles):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_inputs_changed_in_place(dtype):
    x = normals(4, 3, dtype=dtype)
    before = x.clone()
    report = check_gradients(Doubles, x)
    assert [kind for kind, _ in report.problems] == ["mutates"]
    assert report["x"].verdict == "right"
    for right in (Marked, lambda x: x.mul_(2).sin(), nn.ReLU(inplace=True)):
        assert check_gradients(right, x), right
    assert torch.equal(x, before)


def test_once_differentiable_is_named():
    assert "marked with @once_differentiable" in str(check_second(Marked, normals(4, 3)))
