"""An expression that refers five sessions back."""

from ljwx_pipeline.expressions.operators import field, mean, ref

FACTORS = {"gap_to_mean": ref(field("close"), 5) / mean(field("close"), 20)}
