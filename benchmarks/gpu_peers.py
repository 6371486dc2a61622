"""The same work by others on the same device, where they are installed: cuBLAS through PyTorch or CuPy, and PyTorch's
training step eager, compiled and as a CUDA graph. TensorFloat-32 is off: products are of float32 throughout.
"""

import statistics
import time


def run(sizes):
    """{"products": {shape: ms}, "steps": {batch size: {name: us}}, "notes": [...]}, without what is not installed."""
    result = {"products": {}, "steps": {}, "notes": []}
    try:
        import torch
    except ImportError:
        result["notes"].append("no PyTorch")
        _cupy_products(sizes, result)
        return result
    torch.backends.cuda.matmul.allow_tf32 = False
    for shape in sizes.products:
        result["products"]["x".join(map(str, shape))] = _torch_product(torch, shape, sizes.repeats)
    for batch_size in sizes.batch_sizes:
        result["steps"][str(batch_size)] = times = {}
        for name in ("eager", "compiled", "graph"):
            try:
                times[f"torch {name}"] = 1e6 * _torch_step(torch, sizes, batch_size, name)
            except Exception as error:  # a peer that cannot run here must not end the benchmark
                result["notes"].append(f"torch {name}, batch {batch_size}: {type(error).__name__}: {error}"[:300])
    return result


def _median(function, synchronize, repeats, inner=10):
    for _ in range(3):
        function()
    synchronize()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            function()
        synchronize()
        times.append((time.perf_counter() - start) / inner)
    return statistics.median(times)


def _torch_product(torch, shape, repeats):
    rows, inputs, outputs = shape
    x, weight = torch.randn(rows, inputs, device="cuda"), torch.randn(inputs, outputs, device="cuda")
    bias, y = torch.randn(outputs, device="cuda"), torch.empty(rows, outputs, device="cuda")
    torch.addmm(bias, x, weight, out=y)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.addmm(bias, x, weight, out=y)
    return 1e3 * _median(graph.replay, torch.cuda.synchronize, repeats)


def _cupy_products(sizes, result):
    try:
        import cupy
    except ImportError:
        result["notes"].append("no CuPy")
        return
    for shape in sizes.products:
        rows, inputs, outputs = shape
        x, weight = (cupy.random.standard_normal(s, dtype="f4") for s in ((rows, inputs), (inputs, outputs)))
        y = cupy.empty((rows, outputs), "f4")
        seconds = _median(
            lambda x=x, weight=weight, y=y: cupy.matmul(x, weight, out=y),
            cupy.cuda.Device().synchronize,
            sizes.repeats,
        )
        result["products"]["x".join(map(str, shape))] = 1e3 * seconds


def _torch_step(torch, sizes, batch_size, mode):
    """Seconds of one step of the same model: data on the device as bytes, Adam fused."""
    functional = torch.nn.functional
    torch.manual_seed(0)
    latent = sizes.latent
    encoder = torch.nn.Linear(sizes.features, sizes.hidden, device="cuda")
    head = torch.nn.Linear(sizes.hidden, 2 * latent, device="cuda")
    decoder = torch.nn.Linear(latent, sizes.hidden, device="cuda")
    output = torch.nn.Linear(sizes.hidden, sizes.features, device="cuda")
    layers = torch.nn.ModuleList([encoder, head, decoder, output])
    optimizer = torch.optim.Adam(layers.parameters(), fused=True, capturable=True)
    data = torch.randint(0, 256, (2 * batch_size, sizes.features), dtype=torch.uint8, device="cuda")
    index = torch.randperm(2 * batch_size, device="cuda")[:batch_size]

    def loss_of():
        x = data[index].to(torch.float32) / 255
        mu, rho = head(functional.relu(encoder(x))).chunk(2, dim=1)
        sigma = functional.softplus(rho)
        z = mu + sigma * torch.randn_like(sigma)
        logits = output(functional.relu(decoder(z)))
        nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = (0.5 * (mu * mu + sigma * sigma - 1) - torch.log(sigma)).sum()
        return (nll + kl) / batch_size

    forward = torch.compile(loss_of) if mode == "compiled" else loss_of

    def step():
        optimizer.zero_grad(set_to_none=True)
        forward().backward()
        optimizer.step()

    if mode != "graph":
        return _median(step, torch.cuda.synchronize, sizes.repeats)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        forward().backward()
        optimizer.step()
    return _median(graph.replay, torch.cuda.synchronize, sizes.repeats)
