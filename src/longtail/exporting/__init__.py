"""A trained run as a file or folder that other programs decide by: ONNX, timm."""
