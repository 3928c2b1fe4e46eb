"""Views of events, their catalogue, sources and dead letters: shape in, one service call, shape out."""
