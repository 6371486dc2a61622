"""What a user's own code looks like, read by a type checker against the installed package (.ci/run) and never run."""

import numpy as np
from typing_extensions import assert_type

import minivae as mv
from minivae.gradcheck import GradientReport, SamplingReport, check_sampler

data = mv.load_dataset("mnist", size=2000)
model = mv.VAE(data.features, latent=8, hidden=(64,), likelihood="bernoulli", backend="numpy")
optimizer = mv.Adam(mv.Cosine(1e-3, total=100, warmup=10), clip_norm=1.0)
history = mv.fit(model, data.train, validation=data.test, epochs=1, optimizer=optimizer)
assert_type(history, mv.History)

terms = model.forward(data.train[:10])
assert_type(terms.loss, float)
model.backward()
optimizer.update(model)
assert_type(model.gradients["posterior.bias"].ndim, int)
assert_type(mv.VAE.load("model.npz").sample(8).ndim, int)
assert_type(mv.Evaluator(model, data.test)().kl_per_latent.ndim, int)
assert_type(mv.importance_estimate(model, data.test[:10]).counts, tuple[int, ...])

assert_type(mv.explore(model, data, name="typed").save("explorer.html"), int)

report = mv.check_gradients(mv.Dense(3, 2, "tanh", dtype="float64"), {"x": np.ones((4, 3))})
assert_type(report, GradientReport)
assert_type([array.worst.numeric for array in report.arrays], list[float])
assert_type(check_sampler(lambda rng: rng.standard_normal(5), mean=0.0, std=1.0), SamplingReport)

# Wrong, each of them: an ignored error that a checker does not find is an error itself.
mv.VAE("784")  # type: ignore[arg-type]
mv.Adam(learning_rate="fast")  # type: ignore[arg-type]
mv.load_dataset("mnist", fraction=0.1)  # type: ignore[call-arg]
print(terms.accuracy)  # type: ignore[attr-defined]
mv.Dense(3, 2).forward([1.0, 2.0])  # type: ignore[arg-type]
