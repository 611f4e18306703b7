"""Training of networks on recorded episodes."""
