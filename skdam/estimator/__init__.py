"""What scikit-learn asks for: parameters, checks, `fit` and `predict`."""
