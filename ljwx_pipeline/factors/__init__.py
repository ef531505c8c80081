"""Where factors are defined: families, the catalogue with its version hash, leak checks."""
