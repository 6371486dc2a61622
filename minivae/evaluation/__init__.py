"""What a trained model is worth: the ELBO of held-out data, and log p(x) by importance sampling."""
