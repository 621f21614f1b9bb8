"""Traces of orders: from stamps to spans (`orders`), and out of the process (`tracer`)."""
