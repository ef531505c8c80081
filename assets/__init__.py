"""The lineage graph: a file per layer, assets of about ten lines that call the library and say what people want to see."""
