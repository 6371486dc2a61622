"""The sampling laboratory: experiments that set what is measured beside what theory says. `minivae lab` runs them."""
