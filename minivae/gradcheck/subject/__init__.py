"""What is checked, in one form: inputs, parameters and gradients of whatever a caller hands over."""
