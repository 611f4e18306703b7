"""Networks in torch: backbones that see, heads that remember and act, and the export of both as graphs."""
