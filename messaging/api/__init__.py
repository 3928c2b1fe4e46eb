"""Chat over REST: shape in, one service call, shape out."""
