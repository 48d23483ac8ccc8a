"""What all methods that end as ONNX graphs share: sessions, graphs with their crop, export."""
