"""The lineage graph: a file per layer, short assets that call the library and say what people want to see."""
