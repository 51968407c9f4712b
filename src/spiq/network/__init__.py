"""Read, prepare, query and write ONNX graphs: the only place that knows the file format."""
