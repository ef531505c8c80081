"""The same ideas without the leak; none may be accused."""
